//! Reads the OpenAPI document: a page for each tag, operation and object, and one for all errors.

use askama::Template;
use serde_json::Value;

use super::calls::{curl, python};
use super::page::{Group, Page, list, rendered};
use super::words::{kind, line, link, plain_text, prose};
use crate::openapi::operation::{CODES, STATUS};

/// What the document says.
pub(super) struct Reference {
    pub(super) title: String,
    pub(super) version: String,
    pub(super) introduction: String,
    pub(super) pages: Vec<Page>,
    /// The codes of all problems.
    pub(super) problems: Vec<String>,
}

#[derive(Template)]
#[template(path = "docs/operation.html")]
struct OperationPage<'a> {
    operation: Operation<'a>,
}

#[derive(Template)]
#[template(path = "docs/object.html")]
struct ObjectPage<'a> {
    object: Object<'a>,
}

#[derive(Template)]
#[template(path = "docs/errors.html")]
struct ErrorPage<'a> {
    problems: &'a [Problem<'a>],
}

struct Operation<'a> {
    method: &'a str,
    path: &'a str,
    roles: Vec<&'a str>,
    description: String,
    parameters: Vec<Row<'a>>,
    body: Option<Body<'a>>,
    curl: String,
    python: String,
    answers: Vec<Answer<'a>>,
    refusals: Vec<Refusal<'a>>,
}

struct Body<'a> {
    description: String,
    required: bool,
    object: Object<'a>,
}

/// A 2xx answer.
struct Answer<'a> {
    status: &'a str,
    description: String,
    kind: String,
    example: Option<String>,
}

struct Refusal<'a> {
    status: &'a str,
    codes: Vec<&'a str>,
    description: String,
}

/// A problem code, with all its descriptions.
struct Problem<'a> {
    code: &'a str,
    status: String,
    descriptions: Vec<String>,
}

/// A named schema.
#[derive(Default)]
struct Object<'a> {
    description: String,
    /// The type of a schema without fields, or the schemas that this one extends.
    kind: String,
    rows: Vec<Row<'a>>,
}

/// A field or a parameter.
struct Row<'a> {
    name: String,
    /// `path`, `query` or `header` for a parameter; empty for a field.
    place: &'a str,
    required: bool,
    kind: String,
    description: String,
}

/// Reads the document.
pub(super) fn read(document: &str) -> Reference {
    // A test renders the same document.
    #[expect(clippy::expect_used, reason = "the document is a constant, and a test parses it")]
    let document: Value = serde_json::from_str(document).expect("the document is JSON");
    let info = &document["info"];
    let key = text(&document["components"]["securitySchemes"]["key"]["description"]);
    let problems = problems(&document);
    let mut pages: Vec<Page> =
        items(&document["tags"]).iter().flat_map(|tag| of_tag(&document, tag)).collect();
    pages.push(Page {
        name: "errors".to_owned(),
        group: Group::Errors,
        title: "Errors".to_owned(),
        summary: "All codes of problem documents.".to_owned(),
        html: rendered(&ErrorPage { problems: &problems }),
    });
    pages.extend(objects(&document));
    Reference {
        title: text(&info["title"]).to_owned(),
        version: text(&info["version"]).to_owned(),
        introduction: prose(text(&info["description"])) + &prose(key),
        problems: problems.iter().map(|problem| problem.code.to_owned()).collect(),
        pages,
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

/// The target of a reference, or the value itself.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let pointer = value["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    pointer.and_then(|pointer| document.pointer(pointer)).unwrap_or(value)
}

fn all_operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    entries(&document["paths"]).flat_map(|(path, methods)| {
        entries(methods).map(move |(method, operation)| (path, method, operation))
    })
}

/// A page for the tag, and one for each of its operations.
fn of_tag(document: &Value, tag: &Value) -> Vec<Page> {
    let (name, description) = (text(&tag["name"]), text(&tag["description"]));
    let group = Group::Tag(name.to_owned());
    let of_tag = all_operations(document).filter(|(_, _, operation)| operation["tags"][0] == tag["name"]);
    let page = |(path, method, value): (&str, &str, &Value)| Page {
        name: text(&value["operationId"]).to_owned(),
        group: group.clone(),
        title: text(&value["summary"]).to_owned(),
        summary: format!("{} {path}", method.to_uppercase()),
        html: rendered(&OperationPage { operation: operation(document, path, method, value) }),
    };
    let operations: Vec<Page> = of_tag.map(page).collect();
    let first = Page {
        name: name.to_owned(),
        title: group.title(),
        summary: plain_text(&line(description)),
        html: format!("<p>{}</p>{}", line(description), list(&operations)),
        group,
    };
    std::iter::once(first).chain(operations).collect()
}

/// A page that lists all objects, and one for each.
fn objects(document: &Value) -> Vec<Page> {
    let page = |(name, schema): (&str, &Value)| Page {
        name: format!("schema-{name}"),
        group: Group::Objects,
        title: name.to_owned(),
        summary: plain_text(&line(text(&schema["description"]))),
        html: rendered(&ObjectPage { object: object(schema) }),
    };
    let objects: Vec<Page> = entries(&document["components"]["schemas"]).map(page).collect();
    let names = objects.iter().map(|page| format!("<li><a href=\"{}\">{}</a></li>", page.name, page.title));
    let first = Page {
        name: "objects".to_owned(),
        group: Group::Objects,
        title: "Objects".to_owned(),
        summary: "What requests and answers are made of.".to_owned(),
        html: format!("<ul class=\"columns\">{}</ul>", names.collect::<String>()),
    };
    std::iter::once(first).chain(objects).collect()
}

fn operation<'a>(document: &'a Value, path: &'a str, method: &'a str, value: &'a Value) -> Operation<'a> {
    let responses =
        || entries(&value["responses"]).map(|(status, response)| (status, resolved(document, response)));
    let answers = responses().filter(|(status, _)| status.starts_with('2'));
    let refusals = responses().filter(|(status, _)| !status.starts_with('2'));
    Operation {
        method,
        path,
        roles: items(&value["security"]).iter().map(|one| text(&one["key"][0])).collect(),
        description: prose(text(&value["description"])),
        parameters: items(&value["parameters"]).iter().map(parameter).collect(),
        body: value.get("requestBody").map(|body| self::body(document, body)),
        curl: curl(method, path, value),
        python: python(method, path, value),
        answers: answers.map(|(status, response)| answer(status, response)).collect(),
        refusals: refusals.map(|(status, response)| refusal(status, response)).collect(),
    }
}

fn parameter(value: &Value) -> Row<'_> {
    let mut kind = kind(&value["schema"]);
    if let Some(default) = value["schema"].get("default") {
        kind += &format!(", default {default}");
    }
    Row {
        name: text(&value["name"]).to_owned(),
        place: text(&value["in"]),
        required: value["required"] == true,
        kind,
        description: line(text(&value["description"])),
    }
}

fn body<'a>(document: &'a Value, body: &'a Value) -> Body<'a> {
    let schema = &body["content"]["application/json"]["schema"];
    Body {
        description: line(text(&body["description"])),
        required: body["required"] == true,
        object: object(resolved(document, schema)),
    }
}

fn answer<'a>(status: &'a str, response: &'a Value) -> Answer<'a> {
    let content = entries(&response["content"]).next();
    let json = content.filter(|(media_type, _)| *media_type == "application/json");
    Answer {
        status,
        description: line(text(&response["description"])),
        kind: match content {
            Some(("application/json", content)) => kind(&content["schema"]),
            Some((media_type, _)) => line(media_type),
            None => "no body".to_owned(),
        },
        example: json.and_then(|(_, content)| content.get("example")).map(|example| format!("{example:#}")),
    }
}

fn codes(response: &Value) -> Vec<&str> {
    items(&response[CODES]).iter().map(text).collect()
}

fn refusal<'a>(status: &'a str, response: &'a Value) -> Refusal<'a> {
    Refusal { status, codes: codes(response), description: line(text(&response["description"])) }
}

/// All problem codes, of the shared responses and of single operations, by status and code.
fn problems(document: &Value) -> Vec<Problem<'_>> {
    let shared = entries(&document["components"]["responses"]).map(|(_, response)| response);
    let own = all_operations(document).flat_map(|(_, _, operation)| entries(&operation["responses"]));
    let own = own.filter(|(_, response)| response.get("$ref").is_none()).map(|(_, response)| response);
    let mut problems: Vec<Problem<'_>> = vec![];
    for response in shared.chain(own) {
        let description = line(text(&response["description"]));
        for code in codes(response) {
            match problems.iter_mut().find(|problem| problem.code == code) {
                Some(problem) if problem.descriptions.contains(&description) => {}
                Some(problem) => problem.descriptions.push(description.clone()),
                None => problems.push(Problem {
                    code,
                    status: response[STATUS].to_string(),
                    descriptions: vec![description.clone()],
                }),
            }
        }
    }
    problems.sort_by(|a, b| (&a.status, a.code).cmp(&(&b.status, b.code)));
    problems
}

fn object(schema: &Value) -> Object<'_> {
    let description = line(text(&schema["description"]));
    if let Some(parts) = schema["allOf"].as_array() {
        let others = parts.iter().filter_map(|part| part["$ref"].as_str()).map(link).collect::<Vec<_>>();
        let rows = parts.iter().flat_map(rows).collect();
        return Object { description, kind: format!("{}, and", others.join(", ")), rows };
    }
    let rows = rows(schema);
    let kind = if rows.is_empty() { kind(schema) } else { String::new() };
    Object { description, kind, rows }
}

/// The fields of an object, required ones first, and the fields of nested objects.
fn rows(schema: &Value) -> Vec<Row<'_>> {
    let required: Vec<_> = items(&schema["required"]).iter().map(text).collect();
    let place = |name: &str| required.iter().position(|one| *one == name);
    let mut fields: Vec<_> = entries(&schema["properties"]).collect();
    fields.sort_by_key(|(name, _)| place(name).unwrap_or(usize::MAX));
    let mut rows = vec![];
    for (name, value) in fields {
        rows.push(Row {
            name: name.to_owned(),
            place: "",
            required: place(name).is_some(),
            kind: kind(value),
            description: line(described(value)),
        });
        rows.extend(
            self::rows(value).into_iter().map(|row| Row { name: format!("{name}.{}", row.name), ..row }),
        );
    }
    rows
}

/// The description of a field. For a field that can be null it is inside the choice.
fn described(value: &Value) -> &str {
    let inside = ["oneOf", "anyOf"]
        .iter()
        .flat_map(|choice| items(&value[*choice]))
        .find_map(|one| one["description"].as_str());
    value["description"].as_str().or(inside).unwrap_or_default()
}
