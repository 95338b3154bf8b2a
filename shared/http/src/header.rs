//! A header of a receiver's answer, as shown.

use serde::Serialize;
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
#[schema(as = Header)]
pub(crate) struct HeaderView<'a> {
    name: &'a str,
    value: &'a str,
}

impl<'a> HeaderView<'a> {
    pub(crate) fn of((name, value): &'a (String, String)) -> Self {
        Self { name, value }
    }
}
