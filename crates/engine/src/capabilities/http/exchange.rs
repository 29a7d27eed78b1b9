//! An outbound request and its response.

use crate::capabilities::connection_limit::CountedConnection;
use crate::capabilities::http::connection::{OutboundConnection, PermittedAddress, RequestTarget};
use crate::capabilities::http::context::HttpContext;
use crate::capabilities::http::destination::Destination;
use crate::capabilities::http::lease::{Lease, LeasedBody};
use crate::gate::gate::Permit;
use crate::http::body::{IdleTimeout, SizeLimited};
use crate::http::hop_by_hop;
use crate::scheduler::offload::on_serving_thread;
use futures_channel::oneshot;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use walnut_policy::{Limit, Request};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

/// Timeout where the guest sets none. The sandbox's deadline is usually sooner.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);

pub(super) type Completion = Box<dyn Future<Output = Result<(), Error>> + Send>;
pub(super) type SendResult = Result<(http::Response<WasiBody>, Completion), Error>;

pub(super) struct Timeouts {
    connect: Duration,
    first_byte: Duration,
    between_bytes: Duration,
}

impl Timeouts {
    pub fn of(options: Option<RequestOptions>) -> Self {
        let options = options.as_ref();
        Timeouts {
            connect: options.and_then(|o| o.connect_timeout).unwrap_or(DEFAULT_TIMEOUT),
            first_byte: options.and_then(|o| o.first_byte_timeout).unwrap_or(DEFAULT_TIMEOUT),
            between_bytes: options.and_then(|o| o.between_bytes_timeout).unwrap_or(DEFAULT_TIMEOUT),
        }
    }
}

/// An outbound request and its response.
pub(super) struct OutboundExchange {
    pub context: Arc<dyn HttpContext>,
    /// Shared with the request's body until all of it is sent.
    pub slot: Arc<CountedConnection>,
    pub import: &'static str,
    pub timeouts: Timeouts,
}

/// An error, with the request if nothing of it was sent.
struct SendError(Error, Option<http::Request<WasiBody>>);

impl OutboundExchange {
    pub async fn send(self, request: http::Request<WasiBody>) -> SendResult {
        let destination = Destination::of(request.uri())?;
        let asked = Request::Http {
            method: request.method().as_str().to_owned(),
            scheme: destination.scheme().to_owned(),
            host: destination.host.clone(),
            port: destination.port,
            path: request.uri().path().to_owned(),
        };
        let permit = self.context.gate().check(self.import, asked).map_err(|_| Error::HttpRequestDenied)?;
        let (connection, mut response) = self.answered(permit, &destination, request).await?;
        let named = hop_by_hop::remove_named(response.headers_mut());
        let (left, timeouts) = (self.context.limits().response_body, self.timeouts.between_bytes);
        let (context, pool) = (self.context.clone(), self.context.pool().clone());
        let too_large = move || {
            context.exceeded(Limit::ResponseBody);
            Error::HttpResponseBodySize(None)
        };
        let bounded = |inner| SizeLimited { inner, left, too_large, broken: Error::from };
        let patient = |body| IdleTimeout::new(body, timeouts, || Error::ConnectionReadTimeout);
        let (over, is_over) = oneshot::channel();
        let lease = Lease { connection, destination, pool, slot: self.slot, over };
        let response =
            response.map(|incoming| LeasedBody::new(patient(bounded(incoming)), lease, named).boxed_unsync());
        Ok((response, Box::new(async { is_over.await.unwrap_or(Ok(())) })))
    }

    /// Returns the response to a request, with its connection.
    async fn answered(
        &self,
        permit: Permit,
        destination: &Destination,
        mut request: http::Request<WasiBody>,
    ) -> Result<(OutboundConnection, http::Response<Incoming>), Error> {
        let head = RequestTarget::of(&request)?;
        if self.context.pool().knows(destination) {
            // The runtime looks at its sockets, and notices connections that the peer has closed.
            tokio::task::yield_now().await;
            if let Some(mut connection) = self.waiting(&permit, destination) {
                match self.ask(&mut connection, request, &head).await {
                    Ok(response) => return Ok((connection, response)),
                    // The peer had closed the connection all the same.
                    Err(SendError(_, Some(unsent))) => request = unsent,
                    Err(SendError(error, None)) => return Err(error),
                }
            }
        }
        let connecting = timeout(self.timeouts.connect, self.connect(&permit, destination));
        let mut connection = connecting.await.map_err(|_| Error::ConnectionTimeout)??;
        let asked = self.ask(&mut connection, request, &head).await;
        asked.map(|response| (connection, response)).map_err(|SendError(error, _)| error)
    }

    /// Takes an idle connection, if the gate allows this request to go where it leads.
    fn waiting(&self, _: &Permit, destination: &Destination) -> Option<OutboundConnection> {
        let waiting = self.context.pool().take(destination)?;
        let permit = self.permit(destination, waiting.address())?;
        Some(waiting.open(permit))
    }

    async fn connect(&self, permit: &Permit, destination: &Destination) -> Result<OutboundConnection, Error> {
        let addresses = self.permitted_addresses(destination).await?;
        let (to, pool) = (destination.clone(), self.context.pool().clone());
        // Later requests use the connection, too, of guests on other threads.
        let connection =
            on_serving_thread(async move { OutboundConnection::connect(addresses, &to, || pool.tls()).await }).await?;
        let Some(share) = connection.share() else { return Ok(connection) };
        // If several connections were made at once, the first takes all requests.
        if let Some(other) = self.waiting(permit, destination) {
            return Ok(other);
        }
        self.context.pool().keep(destination.clone(), share);
        Ok(connection)
    }

    async fn permitted_addresses(&self, destination: &Destination) -> Result<Vec<PermittedAddress>, Error> {
        let found = self.context.resolver().addresses(&destination.host, destination.port).await;
        let found = found.map_err(|_| Error::DnsError { rcode: None, info_code: None })?;
        if found.is_empty() {
            return Err(Error::DestinationNotFound);
        }
        let permitted = found.into_iter().filter_map(|address| Some((self.permit(destination, address)?, address)));
        let permitted: Vec<_> = permitted.collect();
        if permitted.is_empty() { Err(Error::DestinationIpProhibited) } else { Ok(permitted) }
    }

    fn permit(&self, destination: &Destination, address: SocketAddr) -> Option<Permit> {
        let (scheme, host) = (destination.scheme().to_owned(), destination.host.clone());
        self.context.gate().check(self.import, Request::HttpAddress { scheme, host, address }).ok()
    }

    async fn ask(
        &self,
        connection: &mut OutboundConnection,
        request: http::Request<WasiBody>,
        head: &RequestTarget,
    ) -> Result<http::Response<Incoming>, SendError> {
        match timeout(self.timeouts.first_byte, connection.send(request, head)).await {
            Err(_) => Err(SendError(Error::ConnectionReadTimeout, None)),
            Ok(Err(mut failed)) => {
                let unsent = failed.take_message();
                Err(SendError(failed.into_error().into(), unsent))
            }
            Ok(Ok(response)) => Ok(response),
        }
    }
}

#[cfg(test)]
mod tests;
