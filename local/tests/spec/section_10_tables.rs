//! Every route of the API × every kind of caller. A route without its row here fails the test.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::routes::{self, Route};
use crate::support::*;

/// Who may call each route: rule 10.1, written down a second time by hand.
const ROWS: &[(&str, &str)] = &[
    ("GET /docs", ""),
    ("GET /docs/search", ""),
    ("GET /docs/{page}", ""),
    ("GET /healthz", ""),
    ("GET /openapi.json", ""),
    ("GET /v1/egress-ips", ""),
    ("GET /v1/account", "admin viewer"),
    ("PATCH /v1/account", "admin"),
    ("POST /v1/account/slack/test", "admin"),
    ("POST /v1/accounts", "operator"),
    ("GET /v1/accounts/{id}/keys", "operator"),
    ("POST /v1/accounts/{id}/keys", "operator"),
    ("DELETE /v1/accounts/{id}/keys/{key_id}", "operator"),
    ("GET /v1/accounts/{id}/quotas", "operator"),
    ("PATCH /v1/accounts/{id}/quotas", "operator"),
    ("GET /v1/audit-log", "admin viewer"),
    ("POST /v1/dashboard-sessions", "admin viewer"),
    ("GET /v1/deliveries", "admin viewer"),
    ("GET /v1/deliveries/{delivery_id}", "admin viewer"),
    ("POST /v1/deliveries/{delivery_id}/redeliver", "admin"),
    ("POST /v1/events", "admin operator publisher"),
    ("POST /v1/events/alertmanager", "admin publisher"),
    ("POST /v1/events/grafana", "admin publisher"),
    ("GET /v1/keys", "admin viewer"),
    ("POST /v1/keys", "admin"),
    ("DELETE /v1/keys/{id}", "admin"),
    ("GET /v1/stats", "admin viewer"),
    ("GET /v1/webhooks", "admin viewer"),
    ("POST /v1/webhooks", "admin"),
    ("GET /v1/webhooks/{id}", "admin viewer"),
    ("PATCH /v1/webhooks/{id}", "admin"),
    ("DELETE /v1/webhooks/{id}", "admin"),
    ("GET /v1/webhooks/{id}/audit-log", "admin viewer"),
    ("GET /v1/webhooks/{id}/deliveries", "admin viewer"),
    ("GET /v1/webhooks/{id}/deliveries/{delivery_id}", "admin viewer"),
    ("POST /v1/webhooks/{id}/deliveries/{delivery_id}/redeliver", "admin"),
    ("GET /v1/webhooks/{id}/explain", "admin viewer"),
    ("POST /v1/webhooks/{id}/pause", "admin"),
    ("POST /v1/webhooks/{id}/preview", "admin viewer"),
    ("POST /v1/webhooks/{id}/redeliver", "admin"),
    ("POST /v1/webhooks/{id}/resume", "admin"),
    ("POST /v1/webhooks/{id}/retry", "admin"),
    ("POST /v1/webhooks/{id}/rotate-secret", "admin"),
    ("POST /v1/webhooks/{id}/rotate-secret/cancel", "admin"),
    ("POST /v1/webhooks/{id}/rotate-secret/finish", "admin"),
    ("GET /v1/webhooks/{id}/stats", "admin viewer"),
    ("POST /v1/webhooks/{id}/test", "admin"),
    ("POST /v1/webhooks/{id}/verify", "admin"),
];

const ROLES: [&str; 4] = ["admin", "operator", "publisher", "viewer"];

/// An account with one of everything, and its callers.
struct Stage {
    world: World,
    hook: Hook,
    delivery: String,
    /// A key that no caller uses.
    spare: String,
    callers: BTreeMap<&'static str, Api>,
    another: Api,
    of_another: Hook,
}

impl Stage {
    async fn new() -> Self {
        let world = World::new().await;
        let hook = world.register(URL).await;
        let event = world.publish(&opened("A")).await;
        world.run_until_idle().await;
        let delivery = text(&world.delivery(&hook, &event).await["id"]).to_owned();
        let made = async |asked: Value| world.post("/v1/keys", &asked).await.expect(201);
        let spare = text(&made(json!({"role": "viewer"})).await["id"]).to_owned();
        let mut callers = BTreeMap::from([("operator", world.operator.clone())]);
        for role in ["admin", "publisher", "viewer"] {
            callers.insert(role, world.with_key(text(&made(json!({ "role": role })).await["key"])));
        }
        let revoked = made(json!({"role": "admin"})).await;
        let expires = json!({"role": "admin", "expires_at": "2024-03-15T14:22:02Z"});
        let expired = made(expires).await;
        world.delete(&format!("/v1/keys/{}", text(&revoked["id"]))).await.expect(204);
        world.advance(MINUTE).await;
        callers.insert("no key", world.with_key(""));
        callers.insert("garbage", world.with_key("spk_9f3Kx0000000000000000000000000000000000000"));
        callers.insert("revoked", world.with_key(text(&revoked["key"])));
        callers.insert("expired", world.with_key(text(&expired["key"])));
        let another = world.another_account().await;
        let of_another = another.register(OTHER).await;
        Self { world, hook, delivery, spare, callers, another, of_another }
    }

    /// The path with the ids of this account.
    fn path(&self, route: &Route) -> String {
        let account = &self.world.account_id;
        let id = match &*route.path {
            path if path.starts_with("/v1/accounts/") => account,
            path if path.starts_with("/v1/keys/") => &self.spare,
            _ => &self.hook.id,
        };
        let filled = route.path.replace("{id}", id).replace("{delivery_id}", &self.delivery);
        filled.replace("{key_id}", &self.spare).replace("{page}", "errors")
    }

    /// What refused calls must not change.
    async fn everything(&self) -> Value {
        let (admin, hook) = (&self.world, &self.hook);
        let keys = admin.get("/v1/keys").await.expect(200)["data"].clone();
        let keys: Vec<Value> =
            keys.as_array().unwrap().iter().map(|key| json!([key["id"], key["revoked_at"]])).collect();
        json!({
            "webhooks": admin.all("/v1/webhooks").await, "webhook": admin.webhook(hook).await, "keys": keys,
            "deliveries": admin.deliveries(hook).await, "account": admin.get("/v1/account").await.expect(200),
            "log": admin.all("/v1/audit-log").await, "calls": self.world.receivers.all().len(),
        })
    }
}

#[test]
fn every_route_has_a_row_with_the_roles_that_are_described() {
    let described: Vec<(String, String)> = routes::of_api()
        .iter()
        .map(|route| (format!("{} {}", route.method, route.path), route.roles.join(" ")))
        .collect();
    let rows: BTreeMap<String, String> =
        ROWS.iter().map(|(route, roles)| ((*route).into(), (*roles).into())).collect();
    assert_eq!(described.into_iter().collect::<BTreeMap<_, _>>(), rows);
}

#[tokio::test]
async fn each_role_may_do_its_own_and_nothing_else() {
    for route in routes::of_api() {
        let stage = Stage::new().await;
        let (path, before) = (stage.path(&route), stage.everything().await);
        let call = async |caller: &str| stage.callers[caller].call(&route.method, &path, &[], "").await;
        let what = format!("{} {path}", route.method);
        for caller in ["no key", "garbage", "revoked", "expired"] {
            let answer = call(caller).await;
            match route.roles.is_empty() {
                true => assert!(answer.status.as_u16() < 400, "{caller}: {what}"),
                false => assert_eq!(answer.problem(401), "unauthenticated", "{caller}: {what}"),
            }
        }
        let may = |role: &&str| route.roles.is_empty() || route.roles.iter().any(|one| one == role);
        for role in ROLES.iter().filter(|role| !may(role)) {
            assert_eq!(call(role).await.problem(403), "forbidden", "{role}: {what}");
        }
        assert_eq!(stage.everything().await, before, "refused calls change nothing: {what}");
        for role in ROLES.iter().filter(|role| may(role)) {
            let status = call(role).await.status.as_u16();
            assert!(status < 500 && ![401, 403].contains(&status), "{role}: {what} answered {status}");
        }
    }
}

/// An admin of another account gets the same answer as for ids that do not exist, and nothing changes.
#[tokio::test]
async fn another_accounts_object_is_404_whatever_is_done_to_it() {
    let mut rows = 0;
    for route in
        routes::of_api().iter().filter(|route| route.path.contains("_id}") || route.path.contains("{id}"))
    {
        let stage = Stage::new().await;
        let (path, before) = (stage.path(route), stage.everything().await);
        let call = async |path: &str| stage.another.call(&route.method, path, &[], "{}").await;
        if route.path.starts_with("/v1/accounts/") {
            assert_eq!(call(&path).await.problem(403), "forbidden", "only operators name accounts: {path}");
            continue;
        }
        rows += 1;
        let theirs = call(&path).await;
        assert_eq!(theirs.problem(404), "not_found", "{} {path}", route.method);
        // Their own webhook with another account's delivery.
        if route.path.contains("{delivery_id}") && route.path.contains("{id}") {
            let mixed = path.replace(&stage.hook.id, &stage.of_another.id);
            assert_eq!(call(&mixed).await.problem(404), "not_found", "{} {mixed}", route.method);
        }
        let unknown = path.replace(&stage.hook.id, "whe_01HS17VFS8FD7MSPZHG9F96010");
        let unknown = unknown.replace(&stage.spare, "key_01HS17VFS8FD7MSPZHG9F96010");
        let none = call(&unknown.replace(&stage.delivery, "dlv_01HS17VFS8FD7MSPZHG9F96010")).await;
        assert_eq!(none.json()["detail"], theirs.json()["detail"], "{} {path}", route.method);
        assert_eq!(stage.everything().await, before, "{} {path}", route.method);
    }
    assert!(rows > 15, "{rows}");
}

/// Parameters that name objects: another account's is as if there were none.
#[tokio::test]
async fn a_parameter_with_another_accounts_id_finds_nothing_of_it() {
    let stage = Stage::new().await;
    let event = text(&stage.world.deliveries(&stage.hook).await[0]["event_id"]).to_owned();
    let mut rows = 0;
    for route in routes::of_api().iter().filter(|route| route.method == "GET") {
        let described = &routes::DESCRIPTION["paths"][&route.path]["get"]["parameters"];
        for parameter in described.as_array().into_iter().flatten().filter(|one| one["in"] == "query") {
            let id = match parameter["name"].as_str().unwrap() {
                "webhook_id" => &stage.hook.id,
                "event_id" | "event" => &event,
                "delivery_id" => &stage.delivery,
                "key_id" => &stage.spare,
                name if name.ends_with("_id") && name != "incident_id" => panic!("{name} has no row"),
                _ => continue,
            };
            rows += 1;
            let path = route.path.replace("{id}", &stage.of_another.id);
            let found =
                stage.another.get(&format!("{path}?{}={id}", parameter["name"].as_str().unwrap())).await;
            let status = found.status.as_u16();
            assert!(
                status == 404 || status == 200 && found.json()["data"] == json!([]),
                "{path}: {}",
                found.text
            );
        }
    }
    assert!(rows >= 4, "{rows}");
}
