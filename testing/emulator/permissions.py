"""Permissions that AWS requires and MiniStack does not check.

With AUTH=true MiniStack checks every signed request against the policies of the role that signed it. It does not check
its own actions: polling a queue for a function, invoking a function for a route or a rule, sending a schedule's
message. So a template could lack these permissions unnoticed. `check_passed_roles` refuses schedules that could not be
created or fire on AWS, and `missing` lists the permissions that the mappings, routes and rules of the deployed stack
lack.
"""

import json

POLLING_ACTIONS = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")


def role_allows(role_arn: str, action: str, resource_arn: str) -> bool:
    from ministack.core import iam_evaluator

    account = role_arn.split(":")[4]
    context = iam_evaluator.EvalContext(
        principal_arn=role_arn, principal_type="AssumedRole", principal_account=account, action=action,
        resource_arn=resource_arn, region=resource_arn.split(":")[3])
    policies = iam_evaluator._gather_role_policies(role_arn.rpartition("/")[2], account)
    return iam_evaluator.evaluate(context, policies).decision == "Allow"


def name_schedules_by_their_group(replace) -> None:
    """Uses the group in a schedule's ARN. MiniStack checks the permission as if every schedule were in the default
    group, and so denies what AWS allows."""
    from ministack.core import iam_actions

    resource_arn = iam_actions.extract_resource_arn

    def extract(service, method, path, headers, body, query_params, region, account_id):
        arn = resource_arn(service, method, path, headers, body, query_params, region, account_id)
        if service == "scheduler" and ":schedule/default/" in arn:
            in_query = query_params.get("groupName")
            group = in_query[0] if in_query else json.loads(body or b"{}").get("GroupName", "default")
            arn = arn.replace(":schedule/default/", f":schedule/{group}/")
        return arn

    replace(iam_actions, "extract_resource_arn", extract)


def name_batches_by_their_calls(replace) -> None:
    """Checks the permission of the single call for a batch of SQS: IAM has no action `sqs:SendMessageBatch`."""
    from ministack.core import iam_actions

    action_of = iam_actions.extract_iam_action

    def extract(service, *args, **kwargs):
        action = action_of(service, *args, **kwargs)
        return action.removesuffix("Batch") if action and action.startswith("sqs:") else action

    replace(iam_actions, "extract_iam_action", extract)


def check_passed_roles(replace) -> None:
    """Checks the role that `CreateSchedule` passes on. AWS checks whether the caller may pass it and, when the schedule
    fires, whether the role may send to the target. This checks both at once, and refuses the call."""
    from ministack.core import iam_actions, iam_evaluator
    from ministack.core.responses import get_region
    from ministack.core.router import extract_access_key_id
    from ministack.services import scheduler

    handle = scheduler.handle_request

    async def handle_checked(method, path, headers, body, query_params):
        if method != "POST" or not path.startswith("/schedules/"):
            return await handle(method, path, headers, body, query_params)
        target = json.loads(body or b"{}").get("Target") or {}
        role, queue = target.get("RoleArn", ""), target.get("Arn", "")
        denied = iam_evaluator.enforce(
            extract_access_key_id(headers, query_params), "iam:PassRole", "iam", get_region(), resource_arn=role,
            service_context={"iam:PassedToService": "scheduler.amazonaws.com"})
        if denied is not None:
            return iam_actions.access_denied_response(
                "scheduler", "iam:PassRole", denied.principal_arn, "", headers=headers, resource_arn=role)
        if not role_allows(role, "sqs:SendMessage", queue):
            return iam_actions.access_denied_response(
                "scheduler", "sqs:SendMessage", role, "", headers=headers, resource_arn=queue)
        return await handle(method, path, headers, body, query_params)

    replace(scheduler, "handle_request", handle_checked)


def missing() -> list[str]:
    """Returns one line for each permission that the deployed stack lacks."""
    return _unpollable_queues() + _closed_routes() + _closed_rules()


def _unpollable_queues() -> list[str]:
    from ministack.services import lambda_svc

    lines = []
    for mapping in lambda_svc._esms.values():
        role = lambda_svc._functions[mapping["FunctionName"]]["config"]["Role"]
        queue = mapping["EventSourceArn"]
        lines += [f"{_name(role)} lacks {action} on {_name(queue)}, which is mapped to {mapping['FunctionName']}"
                  for action in POLLING_ACTIONS if ":sqs:" in queue and not role_allows(role, action, queue)]
    return lines


def _closed_routes() -> list[str]:
    from ministack.core.arn import execute_api_arn
    from ministack.core.responses import get_account_id, get_region
    from ministack.services import apigateway

    lines = []
    for api_id, routes in apigateway._routes.items():
        for route in routes.values():
            integration = apigateway._integrations[api_id][route["target"].rpartition("/")[2]]
            function = apigateway._extract_lambda_ref_from_integration_uri(integration.get("integrationUri", ""))
            method, _, path = route["routeKey"].rpartition(" ")
            source = execute_api_arn(get_region(), get_account_id(), api_id, "$default", method or path, path)
            if not _function_admits(function, "apigateway.amazonaws.com", source):
                lines.append(f"route {route['routeKey']} may not invoke {_name(function)}: no Lambda permission")
    return lines


def _closed_rules() -> list[str]:
    from ministack.services import eventbridge

    lines = []
    for key, targets in eventbridge._targets.items():
        for target in targets:
            rule = eventbridge._rules[key]["Arn"]
            if ":lambda:" in target["Arn"] and not _function_admits(target["Arn"], "events.amazonaws.com", rule):
                lines.append(f"{_name(rule)} may not invoke {_name(target['Arn'])}: no Lambda permission")
    return lines


def _function_admits(function_arn: str, service: str, source_arn: str) -> bool:
    from ministack.core.iam_evaluator import fnmatch_iam
    from ministack.services import lambda_svc

    policy, _account = lambda_svc.function_policy_for_arn(function_arn) or ({}, "")
    for statement in policy.get("Statement", []):
        principal = statement.get("Principal")
        named = principal.get("Service") if isinstance(principal, dict) else principal
        condition = next(iter((statement.get("Condition") or {}).get("ArnLike", {}).values()), "*")
        admitted = named == service and statement.get("Action") == "lambda:InvokeFunction"
        if admitted and fnmatch_iam(source_arn, condition):
            return True
    return False


def _name(arn: str) -> str:
    return arn.split(":", 5)[-1]
