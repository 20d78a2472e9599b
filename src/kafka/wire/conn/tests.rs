//! What a connection sends and when, over a pipe and in virtual time.

use super::*;
use kafka_protocol::messages::ListGroupsRequest;
use std::sync::Mutex;
use tokio::io::{AsyncWrite, BufWriter, DuplexStream, duplex};

fn over(reader: impl AsyncRead + Send + Unpin + 'static, writer: impl AsyncWrite + Send + Unpin + 'static) -> Connection {
    let settings = ConnectionSettings {
        connector: Connector::Plaintext,
        sasl: None,
        client_id: "test".to_owned(),
        connect_timeout: Duration::from_secs(1),
        request_timeout: Duration::from_secs(10),
        max_frame_bytes: 1_000,
        stats: Arc::default(),
    };
    Connection::over(ByteStream { reader: Box::new(reader), writer: Box::new(writer) }, &settings)
}

#[tokio::test(start_paused = true)]
async fn a_request_leaves_also_through_a_stream_that_holds_back_what_is_written() {
    let (near, mut broker) = duplex(4096);
    let (reader, writer) = tokio::io::split(near);
    let answering = async {
        let length = broker.read_i32().await.unwrap();
        let mut request = vec![0; usize::try_from(length).unwrap()];
        broker.read_exact(&mut request).await.unwrap();
        // ApiVersions 3: correlation id 1, no error, an empty compact array, throttle time 0, no tags.
        let answer = [0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0];
        broker.write_all(&answer).await.unwrap();
    };
    let mut connection = over(reader, BufWriter::with_capacity(4096, writer));
    let answering = timeout(Duration::from_secs(2), answering);
    let (negotiated, answered) = tokio::join!(connection.negotiate(), answering);
    answered.unwrap();
    assert_eq!(negotiated.map_err(|error| error.to_string()), Ok(()));
}

/// Answers each request with an empty list of groups, the first under a throttle time. Gives the seconds at which each arrived.
async fn throttling_broker(mut pipe: DuplexStream, throttle_ms: i32, arrivals: Arc<Mutex<Vec<u64>>>) {
    let begun = Instant::now();
    while let Ok(length) = pipe.read_i32().await {
        let mut request = vec![0; usize::try_from(length).unwrap()];
        pipe.read_exact(&mut request).await.unwrap();
        let is_first = {
            let mut arrivals = arrivals.lock().unwrap();
            arrivals.push(begun.elapsed().as_secs());
            arrivals.len() == 1
        };
        let mut answer = 14_i32.to_be_bytes().to_vec();
        answer.extend(&request[4..8]);
        answer.extend(if is_first { throttle_ms } else { 0 }.to_be_bytes());
        // No error, no groups.
        answer.extend([0; 6]);
        pipe.write_all(&answer).await.unwrap();
    }
}

async fn arrivals(throttle_ms: i32, exchanges: &[usize]) -> Vec<u64> {
    let (ours, theirs) = duplex(1 << 16);
    let seen = Arc::<Mutex<Vec<u64>>>::default();
    let broker = tokio::spawn(throttling_broker(theirs, throttle_ms, Arc::clone(&seen)));
    let (reader, writer) = tokio::io::split(ours);
    let mut connection = over(reader, writer);
    for requests in exchanges {
        let requests = vec![ListGroupsRequest::default(); *requests];
        connection.exchange(1, &requests, |_, _| Ok(())).await.unwrap();
    }
    drop(connection);
    broker.await.unwrap();
    Arc::into_inner(seen).unwrap().into_inner().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_throttle_time_is_waited_for_before_the_next_exchange() {
    assert_eq!(arrivals(20_000, &[1, 1, 1]).await, [0, 20, 20]);
    assert_eq!(arrivals(0, &[1, 1, 1]).await, [0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_throttle_time_is_waited_for_within_an_exchange_but_for_what_is_under_way() {
    assert_eq!(arrivals(20_000, &[6]).await, [0, 0, 0, 0, 20, 20]);
}

#[tokio::test(start_paused = true)]
async fn no_throttle_time_is_waited_for_without_a_bound() {
    assert_eq!(arrivals(i32::MAX, &[1, 1]).await, [0, MAX_THROTTLE.as_secs()]);
}
