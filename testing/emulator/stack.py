"""Deploys a SAM template as a stack."""

import io
import json
import logging
import os
import re
import shlex
import time
import zipfile
from pathlib import Path

import yaml

STACK_NAME = "statuspulse"
DEPLOY_SECONDS_MAX = 60

# `--data-only`: resources that store or protect data, and nothing that runs.
DATA_TYPES = frozenset({
    "AWS::DynamoDB::Table", "AWS::SQS::Queue", "AWS::SQS::QueuePolicy", "AWS::Events::EventBus",
    "AWS::Scheduler::ScheduleGroup", "AWS::IAM::Role", "AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::KMS::Key",
    "AWS::KMS::Alias", "AWS::SecretsManager::Secret",
})


class DeployError(Exception):
    pass


def load(path: Path) -> dict:
    """Reads a template. Expands `!Ref x` and the other short forms."""
    return yaml.load(path.read_text(), _TemplateLoader)


class _TemplateLoader(yaml.SafeLoader):
    pass


def _short_form(loader, suffix, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_TemplateLoader.add_multi_constructor("!", _short_form)
# AWSTemplateFormatVersion and the versions of policies are dates in YAML, but strings in CloudFormation.
_TemplateLoader.add_constructor("tag:yaml.org,2002:timestamp", yaml.SafeLoader.construct_yaml_str)


def data_only(template: dict) -> dict:
    """Returns the template without everything that runs or refers to it."""
    kept = {name: dict(resource) for name, resource in template["Resources"].items() if resource["Type"] in DATA_TYPES}
    dropped = template["Resources"].keys() - kept.keys()
    while lost := {name for name, resource in kept.items() if referred({**resource, "DependsOn": None}) & dropped}:
        dropped |= lost
        kept = {name: resource for name, resource in kept.items() if name not in lost}
    for resource in kept.values():
        depends_on = resource.pop("DependsOn", [])
        depends_on = {depends_on} if isinstance(depends_on, str) else set(depends_on)
        if depends_on & kept.keys():
            resource["DependsOn"] = sorted(depends_on & kept.keys())
    outputs = {name: output for name, output in template.get("Outputs", {}).items() if not referred(output) & dropped}
    replaced = ("Transform", "Globals", "Resources", "Outputs")
    rest = {name: part for name, part in template.items() if name not in replaced}
    return {**rest, "Resources": kept, "Outputs": outputs}


def referred(node) -> set[str]:
    """Returns the logical ids, parameters and pseudo parameters that a part of a template refers to."""
    if isinstance(node, list):
        return set().union(*map(referred, node))
    if not isinstance(node, dict):
        return set()
    names = set().union(*map(referred, node.values()))
    if isinstance(ref := node.get("Ref"), str):
        names.add(ref)
    if attribute := node.get("Fn::GetAtt"):
        names.add(attribute[0] if isinstance(attribute, list) else attribute.partition(".")[0])
    if substitute := node.get("Fn::Sub"):
        text = substitute[0] if isinstance(substitute, list) else substitute
        names.update(name.partition(".")[0] for name in re.findall(r"\$\{([^!}][^}]*)\}", text))
    return names


def binaries(template: dict) -> dict[str, str]:
    """Returns the binary of each function, by logical id."""
    functions = {}
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            metadata = resource.get("Metadata", {})
            functions[name] = metadata.get("BuildProperties", metadata).get("Binary", name)
    return functions


def names(template: dict) -> dict[str, str]:
    """Returns a short name for each function, by logical id: its handler, or its binary if that has no others."""
    handlers = {name: template["Resources"][name]["Properties"].get("Handler") for name in binaries(template)}
    return {name: handlers[name] or binary for name, binary in binaries(template).items()}


def granted(template: dict) -> list[dict]:
    """Returns what the template's own statements allow each function, with all conditions true: one entry per action
    and resource. Leaves out what Lambda itself does with a function's role (polling its queues)."""
    entries = []
    for name, short in names(template).items():
        for policy in template["Resources"][name]["Properties"].get("Policies", []):
            for statement in policy["Statement"] if isinstance(policy, dict) else []:
                statement = statement.get("Fn::If", [None, statement])[1]
                resources = _listed(statement["Resource"])
                for action in _listed(statement["Action"]):
                    if action in POLLED:
                        continue
                    entries += [{"function": short, "action": action, "resource": logical}
                                for resource in resources for logical in _named(resource)]
    return entries


# The permissions that an event source mapping needs.
POLLED = frozenset({"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"})


def _listed(value) -> list:
    return value if isinstance(value, list) else [value]


def _named(resource) -> list[str]:
    """Returns the logical ids in the resource of a statement."""
    names = sorted(referred(resource) - {"AWS::Partition", "AWS::Region", "AWS::AccountId", "AWS::NoValue"})
    return names or [str(resource)]


def with_local_code(template: dict) -> dict:
    """Sets each function's code to the zip that is named after its binary, and its architecture to this machine's."""
    resources = dict(template["Resources"])
    for name, binary in binaries(template).items():
        properties = resources[name].get("Properties", {}) | {
            "CodeUri": {"Bucket": "bootstraps", "Key": f"{binary}.zip"}, "Architectures": ["x86_64"]}
        resources[name] = resources[name] | {"Properties": properties}
    return {**template, "Resources": resources}


def zips(template: dict, bootstraps: Path) -> dict[str, bytes]:
    """Returns the code of the functions. A zip contains only a script that executes the binary. So the binaries, 10 to
    80 MB each, need not be copied, hashed and kept in memory, and a rebuilt one is used at its next start."""
    archives = {}
    for binary in set(binaries(template).values()):
        file = (bootstraps / binary).resolve()
        if not file.is_file():
            raise DeployError(f"{file} is missing: build the functions first")
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o755 << 16
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as zipped:
            zipped.writestr(entry, f'#!/bin/sh\nexec {shlex.quote(str(file))} "$@"\n')
        archives[f"{binary}.zip"] = archive.getvalue()
    return archives


def expand(template: dict, parameters: dict[str, str], region: str) -> dict:
    """Does what AWS does for `Transform: AWS::Serverless-2016-10-31`."""
    # The import takes half a second, and is not needed with --data-only.
    from samtranslator.translator.transform import transform

    class NoManagedPolicies:
        def load(self):
            return {}

    # It warns of features and metrics of its own service.
    logging.getLogger("samtranslator").setLevel(logging.ERROR)
    os.environ["AWS_DEFAULT_REGION"] = region
    try:
        return transform(template, parameters, NoManagedPolicies())
    finally:
        del os.environ["AWS_DEFAULT_REGION"]


def deploy(cloudformation, template: dict, parameters: dict[str, str], abandoned) -> None:
    """Creates the stack and waits for it. Gives up if `abandoned` returns true."""
    try:
        cloudformation.create_stack(
            StackName=STACK_NAME, TemplateBody=json.dumps(template),
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()])
    except cloudformation.exceptions.ClientError as error:
        raise DeployError(f"the template is refused: {error.response['Error']['Message']}") from error
    deadline = time.monotonic() + DEPLOY_SECONDS_MAX
    while (status := _stack(cloudformation)["StackStatus"]) != "CREATE_COMPLETE":
        if abandoned():
            raise DeployError("stopped while deploying")
        if status != "CREATE_IN_PROGRESS" or time.monotonic() > deadline:
            raise DeployError(f"the stack is {status}\n" + "\n".join(_failures(cloudformation)))
        time.sleep(0.02)


def outputs(cloudformation) -> dict[str, str]:
    return {output["OutputKey"]: output["OutputValue"] for output in _stack(cloudformation).get("Outputs", [])}


def resources(cloudformation) -> list[dict]:
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=STACK_NAME)
    return [resource for page in pages for resource in page["StackResourceSummaries"]]


def _stack(cloudformation) -> dict:
    return cloudformation.describe_stacks(StackName=STACK_NAME)["Stacks"][0]


def _failures(cloudformation) -> list[str]:
    events = cloudformation.describe_stack_events(StackName=STACK_NAME)["StackEvents"]
    return [f"  {event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}"
            for event in events if event["ResourceStatus"].endswith("_FAILED")]
