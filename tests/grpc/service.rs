//! A service that echoes text, in the four kinds of methods, and its server and client. It is written
//! by hand, because no compiler of protocol buffers is needed for text.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, BufMut as _};
use futures_util::stream::{self, Stream, StreamExt as _, TryStreamExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tollgate::{RateLimited, rate_limit};
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::{BoxFuture, Bytes, Service, http};
use tonic::metadata::MetadataMap;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};
use tower::{Layer, service_fn};

/// The text that a method fails at.
pub(crate) const FAIL: &str = "fail";

/// Messages that are text.
#[derive(Clone, Copy, Default)]
pub(crate) struct Text;

impl Codec for Text {
    type Encode = String;
    type Decode = String;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Text {
    type Item = String;
    type Error = Status;

    fn encode(&mut self, text: String, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(text.as_bytes());
        Ok(())
    }
}

impl Decoder for Text {
    type Item = String;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<String>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        Ok(Some(String::from_utf8(bytes.to_vec()).unwrap()))
    }
}

fn answer(text: String) -> Result<String, Status> {
    if text == FAIL { Err(Status::not_found("no such text")) } else { Ok(text) }
}

/// The trait of a service, as tonic generates it.
#[tonic::async_trait]
trait Methods {
    async fn limited(&self, request: Request<String>) -> Result<Response<String>, Status>;
}

/// A method has a limit of its own by the attribute alone: the status is made of the refusal.
#[tonic::async_trait]
impl Methods for Echo {
    #[rate_limit(2, per = 60, name = "method", key = args(request.get_ref()))]
    async fn limited(&self, request: Request<String>) -> Result<Response<String>, Status> {
        answer(request.into_inner()).map(Response::new)
    }
}

/// A function of the service that methods call, which knows nothing of gRPC.
#[rate_limit(2, per = 60, name = "function", key = args())]
async fn function() -> Result<(), RateLimited> {
    Ok(())
}

#[derive(Clone)]
pub(crate) struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "test.Echo";
}

type Texts = Pin<Box<dyn Stream<Item = Result<String, Status>> + Send>>;

fn texts(texts: impl Stream<Item = Result<String, Status>> + Send + 'static) -> Response<Texts> {
    Response::new(Box::pin(texts))
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let mut grpc = tonic::server::Grpc::new(Text);
        Box::pin(async move {
            let method = request.uri().path().rsplit('/').next().unwrap().to_owned();
            Ok(match &*method {
                "Unary" | "Free" => {
                    let echo = async |request: Request<String>| {
                        answer(request.into_inner()).map(Response::new)
                    };
                    grpc.unary(service_fn(move |request| Box::pin(echo(request))), request).await
                }
                "Limited" => grpc.unary(service_fn(|request| Echo.limited(request)), request).await,
                "Calls" => {
                    let calls = |request: Request<String>| async move {
                        function().await?;
                        answer(request.into_inner()).map(Response::new)
                    };
                    grpc.unary(service_fn(calls), request).await
                }
                "ServerStream" => {
                    let twice = |request: Request<String>| async move {
                        let text = request.into_inner();
                        Ok(texts(stream::iter([Ok("first".to_owned()), answer(text)])))
                    };
                    grpc.server_streaming(service_fn(twice), request).await
                }
                "ClientStream" => {
                    let join = |request: Request<Streaming<String>>| async move {
                        let all: Vec<String> = request.into_inner().try_collect().await?;
                        answer(all.join(",")).map(Response::new)
                    };
                    grpc.client_streaming(service_fn(join), request).await
                }
                "Both" => {
                    let each = |request: Request<Streaming<String>>| async move {
                        let all = request.into_inner();
                        Ok(texts(all.map(|text| answer(text?))))
                    };
                    grpc.streaming(service_fn(each), request).await
                }
                other => panic!("no method {other}"),
            })
        })
    }
}

/// The kinds of methods, by their names.
pub(crate) const KINDS: [&str; 4] = ["Unary", "ServerStream", "ClientStream", "Both"];

/// A server on a free port of this machine, until it is dropped.
pub(crate) struct Served {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Served {
    /// Serves the service behind these layers.
    pub(crate) async fn start<L, S, R, E>(layers: L) -> Self
    where
        L: Layer<Routes, Service = S> + Clone + Send + Sync + 'static,
        S: Service<http::Request<Body>, Response = http::Response<R>, Error = E>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send,
        R: tonic::codegen::Body<Data = Bytes> + Send + 'static,
        R::Error: Into<tonic::codegen::StdError>,
        E: Into<tonic::codegen::StdError> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::builder().layer(layers).add_service(Echo);
        let task = tokio::spawn(async move {
            server.serve_with_incoming(TcpIncoming::from(listener)).await.unwrap();
        });
        Self { address, task }
    }

    pub(crate) async fn client(&self) -> Client {
        self.client_from(Ipv4Addr::LOCALHOST).await
    }

    /// Connects from another address of this machine.
    pub(crate) async fn client_from(&self, address: Ipv4Addr) -> Client {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        let endpoint = endpoint.local_address(Some(IpAddr::V4(address)));
        Client(endpoint.connect().await.unwrap())
    }
}

/// An answer: its metadata, and its messages.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) metadata: MetadataMap,
    pub(crate) texts: Vec<String>,
}

#[derive(Clone)]
pub(crate) struct Client(Channel);

impl Client {
    /// Calls a method with one message.
    pub(crate) async fn call(&self, method: &str, text: &str) -> Result<Answer, Status> {
        self.send(method, Request::new(text.to_owned())).await
    }

    /// Calls a method with one message and metadata.
    pub(crate) async fn send(
        &self,
        method: &str,
        request: Request<String>,
    ) -> Result<Answer, Status> {
        let path: PathAndQuery = format!("/test.Echo/{method}").parse().unwrap();
        let mut grpc = Grpc::new(self.0.clone());
        grpc.ready().await.unwrap();
        let in_stream = |request: Request<String>| request.map(|text| stream::iter([text]));
        let answers = match method {
            "ServerStream" => grpc.server_streaming(request, path, Text).await?,
            "Both" => grpc.streaming(in_stream(request), path, Text).await?,
            _ => {
                let answer = match method {
                    "ClientStream" => grpc.client_streaming(in_stream(request), path, Text).await?,
                    _ => grpc.unary(request, path, Text).await?,
                };
                let metadata = answer.metadata().clone();
                return Ok(Answer { metadata, texts: vec![answer.into_inner()] });
            }
        };
        let metadata = answers.metadata().clone();
        let texts = answers.into_inner().try_collect().await?;
        Ok(Answer { metadata, texts })
    }
}

/// The value of a field of metadata.
pub(crate) fn field<'a>(metadata: &'a MetadataMap, name: &str) -> Option<&'a str> {
    metadata.get(name).map(|value| value.to_str().unwrap())
}
