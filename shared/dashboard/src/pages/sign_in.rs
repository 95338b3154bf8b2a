//! Signing in with a link, and signing out. Opening a link does not use it up, because mail and chat programs open
//! links too; the button on its page does.

use askama::Template;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::IntoResponse;
use statuspulse_core::error::Error;

use crate::forms::Form;
use crate::guard::{SignedOut, html, see};
use crate::session::{self, Viewer};
use crate::show::Frame;
use crate::{Answer, Dashboard};

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    frame: Frame,
    link: &'a str,
}

pub(super) async fn home(_: Viewer) -> Answer {
    Ok(see("webhooks"))
}

pub(super) async fn show(State(dashboard): State<Dashboard>, RawQuery(query): RawQuery) -> Answer {
    let query = Form::of_query(query.as_deref());
    match query.text("link") {
        "" => Ok(SignedOut::page(&dashboard.admin.deployment.public_url)),
        link => Ok(html(&SignInPage { frame: Frame::bare(), link })),
    }
}

pub(super) async fn use_link(State(dashboard): State<Dashboard>, body: Body) -> Answer {
    let form = Form::read(body).await?;
    match dashboard.admin.use_link(form.text("link")).await {
        Ok((token, _)) => Ok(session::signed_in(token.reveal(), see("webhooks"))),
        Err(Error::Unauthenticated(why)) => {
            let page = SignedOut::with_note(&dashboard.admin.deployment.public_url, why);
            Ok((http::StatusCode::UNAUTHORIZED, page).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn sign_out(viewer: Viewer) -> Answer {
    viewer.admin.sign_out(&viewer.token).await?;
    Ok(session::signed_out(see("sign-in")))
}
