//! gRPC on a unix socket between two processes: tonic, one unary call, one message with a field of bytes.

use crate::peer::{Echo, Failure, same, version};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    future::{Ready, ready},
    io,
    path::PathBuf,
    pin::Pin,
    process::{Child, Command},
    task::{Context, Poll},
    thread::sleep,
    time::{Duration, Instant},
};
use tokio::{
    net::{UnixListener, UnixStream},
    runtime::Runtime,
};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{
    Request, Response, Status,
    body::Body,
    client::Grpc,
    codegen::http::{self, uri::PathAndQuery},
    server::{NamedService, UnaryService},
    transport::{Channel, Endpoint, Server, Uri},
};
use tonic_prost::ProstCodec;
use tower::{Service, service_fn};

/// The hidden argument for the second process.
pub const SERVE: &str = "grpc-serve";
const METHOD: &str = "/bulkhead.peers.Echo/Echo";

/// The one message.
#[derive(Clone, PartialEq, prost::Message)]
struct Payload {
    #[prost(bytes = "vec", tag = "1")]
    bytes: Vec<u8>,
}

type Codec = ProstCodec<Payload, Payload>;

/// The first process's side.
pub struct Client {
    child: Child,
    runtime: Runtime,
    grpc: Grpc<Channel>,
    folder: PathBuf,
}

fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

impl Client {
    /// Starts the second process and connects to it.
    pub fn start() -> Result<Client, Failure> {
        let folder = std::env::temp_dir().join(format!("bulkhead-peers-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let socket = folder.join("socket");
        let mut child = Command::new("/proc/self/exe").arg(SERVE).arg(&socket).spawn()?;
        let since = Instant::now();
        while !socket.exists() {
            if since.elapsed() > Duration::from_secs(10) {
                let _ = child.kill();
                return Err("the gRPC server did not start".into());
            }
            sleep(Duration::from_millis(5));
        }
        let runtime = runtime()?;
        let connect = service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { Ok::<_, io::Error>(TokioIo::new(UnixStream::connect(socket).await?)) }
        });
        let endpoint = Endpoint::try_from("http://unix.invalid")?;
        let channel = runtime.block_on(endpoint.connect_with_connector(connect))?;
        let grpc = Grpc::new(channel).max_decoding_message_size(usize::MAX).max_encoding_message_size(usize::MAX);
        Ok(Client { child, runtime, grpc, folder })
    }
}

impl Echo for Client {
    fn name(&self) -> &str {
        "gRPC"
    }

    fn version(&self) -> String {
        format!("tonic {} on a unix socket, two processes", version("tonic"))
    }

    fn echo(&mut self, payload: &[u8]) -> Result<(), Failure> {
        let request = Request::new(Payload { bytes: payload.to_vec() });
        let grpc = &mut self.grpc;
        let back = self.runtime.block_on(async move {
            grpc.ready().await.map_err(|e| Status::unknown(e.to_string()))?;
            grpc.unary(request, PathAndQuery::from_static(METHOD), Codec::default()).await
        })?;
        let back: Payload = back.into_inner();
        same(payload, &back.bytes)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The second process: serves until it is ended, or has no parent any more.
pub fn serve(path: &str) -> Result<(), Failure> {
    runtime()?.block_on(async {
        let listener = UnixListener::bind(path)?;
        let parent = std::os::unix::process::parent_id();
        let orphaned = async {
            while std::os::unix::process::parent_id() == parent {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let incoming = UnixListenerStream::new(listener);
        Server::builder().add_service(Method).serve_with_incoming_shutdown(incoming, orphaned).await?;
        Ok(())
    })
}

/// What a code generator would write.
#[derive(Clone)]
struct Method;

impl NamedService for Method {
    const NAME: &'static str = "bulkhead.peers.Echo";
}

impl Service<http::Request<Body>> for Method {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let grpc = tonic::server::Grpc::new(Codec::default());
            let mut grpc = grpc.max_decoding_message_size(usize::MAX).max_encoding_message_size(usize::MAX);
            Ok(grpc.unary(GiveBack, request).await)
        })
    }
}

struct GiveBack;

impl UnaryService<Payload> for GiveBack {
    type Response = Payload;
    type Future = Ready<Result<Response<Payload>, Status>>;

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        ready(Ok(Response::new(request.into_inner())))
    }
}
