//! Signing in with a link or a key, and signing out. Opening a link does not use it up, because mail and chat programs open
//! links too; the button on its page does.

use askama::Template;
use axum::body::Body;
use axum::extract::{Extension, RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use statuspulse_core::access::ClientAddress;
use statuspulse_core::error::Error;

use crate::forms::Form;
use crate::guard::{SignedOut, html, see, takes_keys};
use crate::refused::Refused;
use crate::session::{self, Viewer};
use crate::show::Frame;
use crate::{Answer, Dashboard};

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    frame: Frame,
    link: &'a str,
    /// The account that the link opens.
    account: String,
}

pub(super) async fn home(_: Viewer) -> Answer {
    Ok(see("webhooks"))
}

pub(super) async fn show(State(dashboard): State<Dashboard>, RawQuery(query): RawQuery) -> Answer {
    let query = Form::of_query(query.as_deref());
    let public_url = &dashboard.admin.deployment.public_url;
    let link = query.text("link");
    if link.is_empty() {
        return Ok(SignedOut::page(public_url, None));
    }
    match dashboard.admin.account_of_link(link).await? {
        Some(account) => Ok(html(&SignInPage { frame: Frame::bare(), link, account })),
        None => Ok(refused(public_url, "the link was used before, or is too old")),
    }
}

/// Signs in with a link or with a key.
pub(super) async fn sign_in(
    State(dashboard): State<Dashboard>,
    client: Option<Extension<ClientAddress>>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let address = client.map(|Extension(ClientAddress(address))| address);
    let form = Form::read(body).await?;
    let public_url = &dashboard.admin.deployment.public_url;
    let signed_in = match form.text("key") {
        "" => dashboard.admin.use_link(form.text("link"), address).await,
        key if takes_keys(public_url) => dashboard.admin.sign_in(key, address).await,
        _ => return Err(Refused::Wrong("A key is accepted over https only. Use a link.".to_owned())),
    };
    match signed_in {
        Ok((token, _)) => {
            Ok(session::arrived(session::signed_in(token.reveal(), see(&session::next(&headers)))))
        }
        Err(Error::Unauthenticated(why)) => Ok(refused(public_url, why)),
        Err(Error::Forbidden(why)) => Ok(refused(public_url, &why)),
        Err(error) => Err(error.into()),
    }
}

fn refused(public_url: &str, why: &str) -> Response {
    (StatusCode::UNAUTHORIZED, SignedOut::page(public_url, Some(why))).into_response()
}

pub(super) async fn sign_out(viewer: Viewer) -> Answer {
    viewer.admin.sign_out(&viewer.token).await?;
    Ok(session::signed_out(see("sign-in")))
}
