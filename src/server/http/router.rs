//! The one filter of all requests: `request` extracts a request and decodes its route, the middleware checks it, and
//! the route's handler answers it.
//!
//! Routes and their limits are in `route`; what handlers do is in `whep`, `login`, `api` and `assets`.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::Stream;
use tokio::time::timeout;
use warp::filters::BoxedFilter;
use warp::http::{Method, StatusCode};
use warp::reply::Response;
use warp::{Filter as _, Reply as _};

use super::middleware::AllowedRequest;
use super::request::RequestHead;
use super::response::{ErrorResponse, retryable_problem, text};
use super::route::{Access, PathRoutes, Route};
use super::{Context, Middleware, assets, body, login, request};
use crate::server::auth::Role;
use crate::server::dispatch::Caller;

/// Timeout for handling a request after its header: 10 s for the body, another 2 s for an offer until the video format
/// is known, and some for the peer connection on a slow device. A sound file has 20 s, and its speaker 5 s to open.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Answers every request; the response has its security headers.
pub type Router = BoxedFilter<(Response,)>;

/// The filter that answers every request.
pub fn router(middleware: Arc<Middleware>, context: Context) -> Router {
    request::head()
        .and(warp::body::stream())
        .then(move |head, body| {
            let (middleware, context) = (middleware.clone(), context.clone());
            async move { respond(&middleware, &context, &head, body).await }
        })
        .boxed()
}

async fn respond(
    middleware: &Middleware,
    context: &Context,
    head: &RequestHead,
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
) -> Response {
    let (response_headers, checked) = middleware.check(head);
    let outcome = async {
        let allowed = checked?;
        let _permit = context.admit_body(&allowed.route)?;
        let body = body::read(&head.headers, body, allowed.route.body_limit()).await?;
        if !body.is_empty() && matches!(allowed.route.access(), Access::Role(_)) {
            // A body may take its time, and access may be revoked meanwhile.
            context.check_access(allowed.principal.as_ref())?;
        }
        handle(context, allowed, head, &body).await
    };
    let mut response = match timeout(REQUEST_TIMEOUT, outcome).await {
        Ok(outcome) => outcome.unwrap_or_else(|error| (*error).into_response()),
        Err(_) => {
            let detail = format!("the request timed out after {} s", REQUEST_TIMEOUT.as_secs());
            tracing::warn!("{detail}");
            retryable_problem(StatusCode::SERVICE_UNAVAILABLE, 5, &detail).into_response()
        }
    };
    if head.method == Method::OPTIONS && head.routes.as_ref().is_some_and(PathRoutes::takes_offers) {
        let may_watch = middleware.principal(head).is_some();
        context.add_ice_servers(response.headers_mut(), may_watch);
    }
    response_headers.apply(response.headers_mut());
    response
}

/// Calls the handler of a request that the middleware has allowed.
async fn handle(
    context: &Context,
    AllowedRequest { route, client, principal }: AllowedRequest,
    head: &RequestHead,
    body: &Bytes,
) -> Result<Response, ErrorResponse> {
    let (headers, local) = (&head.headers, head.arrival.conn.local);
    let principal = |role| login::require(principal, role);
    let response = match route {
        Route::Asset(asset) => assets::file(asset, headers),
        Route::Health => text(StatusCode::OK, "ok\n"),
        Route::LoginStatus => context.login_status(headers),
        Route::SignIn => context.sign_in(headers, body, client).await,
        Route::SignOut => context.sign_out(headers, client).await,
        Route::ListTokens => {
            principal(Role::Operator)?;
            context.tokens()
        }
        Route::AddToken => context.add_token(&principal(Role::Operator)?, headers, body).await,
        Route::RevokeToken(name) => context.revoke_token(&principal(Role::Operator)?, &name).await,
        Route::Status => context.status(principal(Role::Viewer)?.role),
        Route::Metrics => context.metrics(),
        Route::Command => {
            let caller = Caller::principal(&principal(Role::Viewer)?);
            context.command(headers, body, &caller).await
        }
        Route::Say => {
            let caller = Caller::principal(&principal(Role::Operator)?);
            context.say(headers, body, &caller).await
        }
        Route::Snapshot(number) => {
            let caller = Caller::principal(&principal(Role::Viewer)?);
            context.snapshot(context.camera(number, head)?, &caller).await
        }
        Route::Recordings => context.recordings(head, &principal(Role::Viewer)?).await?,
        Route::RecordingPicture(id) => context.recording_picture(id, &principal(Role::Viewer)?).await?,
        Route::Recording(id) => return context.recording(id, head, client.address, &principal(Role::Viewer)?).await,
        Route::DeleteRecording(id) => context.delete_recording(id, &principal(Role::Operator)?).await?,
        Route::ProtectRecording(id, on) => context.protect_recording(id, on, &principal(Role::Operator)?).await?,
        Route::Events => return context.events(head, client.address, &principal(Role::Viewer)?),
        Route::Mjpeg(number) => {
            let camera = context.camera(number, head)?;
            return context.mjpeg(head, camera, client.address, &principal(Role::Viewer)?);
        }
        Route::ProbeCamera(camera) => context.probe_camera(camera.as_deref())?,
        Route::Offer(camera) => {
            let owner = principal(Role::Viewer)?;
            context.offer(camera.as_deref(), head, body, local, client.address, &owner).await?
        }
        Route::CameraStreamer => {
            let owner = principal(Role::Viewer)?;
            context.camera_streamer(head, body, local, client.address, &owner).await?
        }
        Route::ProbeSession(id) => context.probe_session(&id),
        Route::PatchSession(id) => context.patch(&id, headers, body, local).await?,
        Route::EndSession(id) => context.delete(&id),
    };
    Ok(response.into_response())
}
