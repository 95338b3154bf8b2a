//! Generates calls from the description of the API.

use bolero::TypeGenerator;
use bolero::generator::bolero_generator::driver::{ByteSliceDriver, Options};
use reqwest::Method;
use serde_json::{Map, Value, json};
use statuspulse_fuzz::{Edited, noise};

/// Ids of objects that exist.
#[derive(Debug, Clone)]
pub(crate) struct Ids {
    pub(crate) webhook: String,
    pub(crate) event: String,
    pub(crate) delivery: String,
    pub(crate) key: String,
}

/// One call.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Vec<u8>,
    pub(crate) content_type: &'static str,
}

/// A route, with what is described of it.
struct Route {
    method: Method,
    path: String,
    parameters: Vec<String>,
    body: Option<Value>,
}

pub(crate) struct Generator {
    routes: Vec<Route>,
    schemas: Value,
    ids: Ids,
    url: String,
    /// The bytes of the current call, and how many are used.
    dice: (Vec<u8>, usize),
    calls: u64,
}

const FORMS: [&str; 6] = [
    "/dashboard/sign-in",
    "/dashboard/webhooks",
    "/dashboard/keys",
    "/dashboard/account/slack",
    "/dashboard/webhooks/several",
    "/dashboard/deliveries/redeliver",
];

impl Generator {
    pub(crate) fn new(description: &Value, ids: &Ids, receiver: u16, seed: u64) -> Self {
        let mut routes = vec![];
        for (path, operations) in description["paths"].as_object().into_iter().flatten() {
            for (method, described) in operations.as_object().into_iter().flatten() {
                let names = described["parameters"].as_array().into_iter().flatten();
                let names = names.filter(|one| one["in"] == "query");
                let parameters = names.filter_map(|one| Some(one["name"].as_str()?.to_owned())).collect();
                let content = described["requestBody"]["content"].as_object();
                let body = content.and_then(|kinds| kinds.values().next()).map(|kind| kind["schema"].clone());
                let Ok(method) = Method::from_bytes(method.to_uppercase().as_bytes()) else { continue };
                // What would end the run: its own webhook, key and quotas stay.
                let ends = method == Method::DELETE || path.contains("/quotas") || path.contains("/accounts");
                if !ends {
                    routes.push(Route { method, path: path.clone(), parameters, body });
                }
            }
        }
        let url = format!("http://127.0.0.1:{receiver}/in");
        let calls = seed.wrapping_mul(1_000_000_007);
        Self { routes, schemas: description.clone(), ids: ids.clone(), url, dice: (vec![], 0), calls }
    }

    fn below(&mut self, bound: usize) -> usize {
        let (bytes, used) = &mut self.dice;
        let pair = [bytes[*used % bytes.len()], bytes[(*used + 1) % bytes.len()]];
        *used += 2;
        usize::from(u16::from_le_bytes(pair)) % bound.max(1)
    }

    /// Whether the next call has a valid key.
    pub(crate) fn has_key(&self) -> bool {
        !self.calls.is_multiple_of(50)
    }

    pub(crate) fn next_call(&mut self) -> Call {
        self.calls = self.calls.wrapping_add(1);
        self.dice = (noise(self.calls), 0);
        if self.below(20) == 0 {
            return self.form();
        }
        let n = self.below(self.routes.len());
        let route = &self.routes[n];
        let (method, template, parameters, schema) =
            (route.method.clone(), route.path.clone(), route.parameters.clone(), route.body.clone());
        let id = if template.contains("/keys/") { self.ids.key.clone() } else { self.ids.webhook.clone() };
        let path = template.replace("{id}", &id).replace("{delivery_id}", &self.ids.delivery);
        let mut path = path.replace("{key_id}", &self.ids.key).replace("{page}", "errors");
        let mut joint = '?';
        for name in parameters {
            if self.below(3) == 0 {
                let value = self.parameter(&name);
                path = format!("{path}{joint}{name}={value}");
                joint = '&';
            }
        }
        let body = match schema {
            Some(schema) => serde_json::to_vec(&self.value(&schema, 0)).unwrap_or_default(),
            None => vec![],
        };
        // Half of the calls are as described; the others are a few edits away.
        let body = if body.is_empty() || self.below(2) == 0 { body } else { self.edited(&body) };
        let path = if self.below(20) == 0 { encoded(&self.edited(path.as_bytes())) } else { path };
        Call { method, path, body, content_type: "application/json" }
    }

    fn form(&mut self) -> Call {
        let path = FORMS[self.below(FORMS.len())].to_owned();
        let seed = format!(
            "link=spd_x&destination=json&url={}&events=incident_opened&role=viewer&id={}",
            self.url, self.ids.webhook
        );
        let body = self.edited(seed.as_bytes());
        Call { method: Method::POST, path, body, content_type: "application/x-www-form-urlencoded" }
    }

    fn edited(&mut self, seed: &[u8]) -> Vec<u8> {
        let mut driver = ByteSliceDriver::new(&self.dice.0[self.dice.1 % 256..], &Options::default());
        Edited::generate(&mut driver).map_or_else(|| seed.to_vec(), |edited| edited.of(&[seed]))
    }

    fn parameter(&mut self, name: &str) -> String {
        let value = match name {
            "webhook_id" => self.ids.webhook.clone(),
            "event_id" | "event" => self.ids.event.clone(),
            "delivery_id" => self.ids.delivery.clone(),
            "limit" => (self.below(130)).to_string(),
            "since" | "until" => "2026-11-24T12:00:00Z".to_owned(),
            "status" => ["delivered", "failed", "held", "nonsense"][self.below(4)].to_owned(),
            _ => "incident_opened".to_owned(),
        };
        if self.below(3) == 0 { encoded(&self.edited(value.as_bytes())) } else { value }
    }

    /// A value that fits a schema, more or less.
    fn value(&mut self, schema: &Value, depth: usize) -> Value {
        if let Some(to) = schema["$ref"].as_str() {
            let schema = self.schemas.pointer(&to[1..]).cloned().unwrap_or_default();
            return self.value(&schema, depth + 1);
        }
        for kind in ["oneOf", "anyOf", "allOf"] {
            if let Some(all) = schema[kind].as_array().filter(|all| !all.is_empty()) {
                let one = all[self.below(all.len())].clone();
                return self.value(&one, depth + 1);
            }
        }
        if let Some(names) = schema["enum"].as_array().filter(|names| !names.is_empty()) {
            return names[self.below(names.len())].clone();
        }
        if let Some(only) = schema.get("const") {
            return only.clone();
        }
        if depth > 12 {
            return Value::Null;
        }
        let kind = match &schema["type"] {
            Value::Array(kinds) if !kinds.is_empty() => kinds[self.below(kinds.len())].clone(),
            kind => kind.clone(),
        };
        match kind.as_str() {
            Some("object") => self.object(schema, depth),
            Some("array") => {
                let length = self.below(4);
                (0..length).map(|_| self.value(&schema["items"], depth + 1)).collect()
            }
            Some("integer" | "number") => json!(self.below(70_000)),
            Some("boolean") => json!(self.below(2) == 0),
            Some("string") => self.text(schema),
            _ => Value::Null,
        }
    }

    fn object(&mut self, schema: &Value, depth: usize) -> Value {
        let mut object = Map::new();
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            if required.contains(&name.as_str()) || self.below(2) == 0 {
                let value = match name.as_str() {
                    "url" | "slack_url" => json!(self.url),
                    _ => self.value(property, depth + 1),
                };
                object.insert(name.clone(), value);
            }
        }
        object.into()
    }

    fn text(&mut self, schema: &Value) -> Value {
        if schema["format"] == "date-time"
            || schema["pattern"].as_str().is_some_and(|text| text.contains("T\\d{2}"))
        {
            return json!("2026-11-24T12:00:00Z");
        }
        let words = ["INC-1", "", "a", "Payments, EU", "<b>", "é", "0", &"x".repeat(300)].map(str::to_owned);
        let word = words[self.below(words.len())].clone();
        if self.below(3) == 0 {
            json!(String::from_utf8_lossy(&self.edited(word.as_bytes())))
        } else {
            json!(word)
        }
    }
}

/// Everything but letters, digits and a few signs, with percent signs.
fn encoded(bytes: &[u8]) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~?=&".contains(&byte);
    bytes
        .iter()
        .map(|byte| if is_plain(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
