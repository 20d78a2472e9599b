//! Batches as Kafka writes them, built by `kafka-protocol`, and broken ones.

use super::*;
use bytes::{Bytes, BytesMut};
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Record, RecordBatchEncoder,
    RecordEncodeOptions, TimestampType,
};
use proptest::prelude::*;
use std::io::Write as _;

fn records(from: i64, times: &[i64]) -> Vec<Record> {
    let record = |(step, &timestamp): (i64, &i64)| Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id: NO_PRODUCER_ID,
        producer_epoch: NO_PRODUCER_EPOCH,
        timestamp_type: TimestampType::Creation,
        offset: from + step,
        sequence: i32::try_from(step).unwrap(),
        timestamp,
        key: Some(Bytes::from_static(b"key")),
        value: Some(Bytes::from(format!("value {step} of a record that is long enough to be compressed, compressed"))),
        headers: Default::default(),
    };
    (0..).zip(times).map(record).collect()
}

fn encoded(records: &[Record]) -> Vec<u8> {
    let mut buffer = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut buffer, records, &options).unwrap();
    buffer.to_vec()
}

/// A batch from offset 100 on.
fn batch(times: &[i64]) -> Vec<u8> {
    encoded(&records(100, times))
}

const RECORDS_AT: usize = 61;

fn set_attributes(batch: &mut [u8], attributes: i16) {
    batch[21..23].copy_from_slice(&attributes.to_be_bytes());
}

/// The same batch with its records compressed as real clients do.
fn packed(batch: &[u8], codec: i16) -> Vec<u8> {
    let (head, plain) = batch.split_at(RECORDS_AT);
    let body = match codec {
        1 => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        2 => snap::raw::Encoder::new().compress_vec(plain).unwrap(),
        3 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        _ => zstd::stream::encode_all(plain, 3).unwrap(),
    };
    let mut whole = [head, &body].concat();
    let length = i32::try_from(whole.len() - LENGTH_ENDS_AT).unwrap();
    whole[8..12].copy_from_slice(&length.to_be_bytes());
    set_attributes(&mut whole, codec);
    whole
}

fn find(bytes: &[u8], from: u64) -> Scan {
    first_record(bytes, Offset::new(from), Offset::new(1_000)).unwrap()
}

#[test]
fn the_record_at_the_offset_is_found_in_the_middle_of_a_batch_of_every_codec() {
    let plain = batch(&[10, 30, 20, 40]);
    assert_eq!(find(&plain, 100), record(100, Stamp::Created(10)));
    assert_eq!(find(&plain, 102), record(102, Stamp::Created(20)), "times need not rise");
    for codec in 1..=4 {
        let packed = packed(&plain, codec);
        assert_eq!(find(&packed, 103), record(103, Stamp::Created(40)), "codec {codec}");
        assert_eq!(find(&packed, 7), record(100, Stamp::Created(10)), "codec {codec}");
    }
}

#[test]
fn snappy_is_read_as_the_java_client_frames_it() {
    let plain = batch(&[10, 20]);
    let mut framed = [SNAPPY_HEAD, &8_u64.to_be_bytes()[..]].concat();
    for half in plain[RECORDS_AT..].chunks(40) {
        let block = snap::raw::Encoder::new().compress_vec(half).unwrap();
        framed.extend(u32::try_from(block.len()).unwrap().to_be_bytes());
        framed.extend(block);
    }
    let mut whole = [&plain[..RECORDS_AT], &framed].concat();
    let length = i32::try_from(whole.len() - LENGTH_ENDS_AT).unwrap();
    whole[8..12].copy_from_slice(&length.to_be_bytes());
    set_attributes(&mut whole, 2);
    assert_eq!(find(&whole, 101), record(101, Stamp::Created(20)));
}

const SNAPPY_HEAD: &[u8] = b"\x82SNAPPY\0";

#[test]
fn the_brokers_time_is_the_time_of_all_records_of_a_batch() {
    let mut appended = batch(&[10, 20, 50]);
    set_attributes(&mut appended, APPEND_TIME);
    assert_eq!(find(&appended, 101), record(101, Stamp::Appended(50)));
}

#[test]
fn markers_and_what_compaction_left_are_passed_over() {
    let mut marker = batch(&[10]);
    set_attributes(&mut marker, CONTROL);
    assert_eq!(find(&marker, 100), nothing(101));
    let two = [marker.clone(), encoded(&records(101, &[77]))].concat();
    assert_eq!(find(&two, 100), record(101, Stamp::Created(77)));

    // Offsets 101 and 102 were compacted away; the batch still spans them.
    let mut thin = records(100, &[10, 20, 30, 40]);
    thin.drain(1..3);
    let thin = encoded(&thin);
    assert_eq!(find(&thin, 101), record(103, Stamp::Created(40)));

    let mut empty = batch(&[10, 20]);
    empty.truncate(RECORDS_AT);
    empty[8..12].copy_from_slice(&i32::try_from(RECORDS_AT - LENGTH_ENDS_AT).unwrap().to_be_bytes());
    empty[57..61].copy_from_slice(&0_i32.to_be_bytes());
    assert_eq!(find(&empty, 100), nothing(102));
}

#[test]
fn nothing_is_looked_at_behind_the_end() {
    let bytes = batch(&[10, 20]);
    assert_eq!(first_record(&bytes, Offset::new(50), Offset::new(100)), Ok(nothing(100)));
    assert_eq!(first_record(&bytes[..20], Offset::new(50), Offset::new(100)), Ok(nothing(100)), "also where it is cut");
    assert_eq!(first_record(&bytes, Offset::new(50), Offset::new(101)), Ok(record(100, Stamp::Created(10))));
}

#[test]
fn a_cut_batch_is_no_answer_and_a_whole_one_before_it_is() {
    let bytes = batch(&[10, 20]);
    for cut in 0..bytes.len() {
        assert_eq!(find(&bytes[..cut], 100), Scan::Cut, "cut at {cut}");
    }
    let mut marker = batch(&[10]);
    set_attributes(&mut marker, CONTROL);
    let next = encoded(&records(101, &[10]));
    assert_eq!(find(&[&marker, &next[..30]].concat(), 100), nothing(101));
}

#[test]
fn what_cannot_be_unpacked_is_bounded_by_its_batch() {
    let mut unknown = batch(&[10, 20]);
    set_attributes(&mut unknown, 7);
    assert_eq!(find(&unknown, 101), record(101, Stamp::CreatedBy(20)));
    let mut garbled = packed(&batch(&[10, 20]), 4);
    garbled[RECORDS_AT..].fill(0x55);
    assert_eq!(find(&garbled, 101), record(101, Stamp::CreatedBy(20)));
}

/// A record as it was written before Kafka 0.11, made at the time 30: without a key, with the value "v".
fn old(magic: u8, attributes: u8, offset: i64) -> Vec<u8> {
    let time = if magic == 0 { &[][..] } else { &30_i64.to_be_bytes()[..] };
    let body = [&[0, 0, 0, 0, magic, attributes], time, &(-1_i32).to_be_bytes(), &1_i32.to_be_bytes(), b"v"].concat();
    [&offset.to_be_bytes()[..], &i32::try_from(body.len()).unwrap().to_be_bytes(), &body].concat()
}

#[test]
fn old_formats_give_what_they_know() {
    assert_eq!(find(&old(0, 0, 100), 100), record(100, Stamp::Missing), "before 0.10 there were no timestamps");
    assert_eq!(find(&old(1, 0, 100), 100), record(100, Stamp::Created(30)));
    assert_eq!(find(&old(1, 0x08, 100), 100), record(100, Stamp::Appended(30)));
    assert_eq!(find(&old(1, 0x01, 100), 90), record(100, Stamp::CreatedBy(30)), "a compressed one has the time of its last");
    assert_eq!(find(&old(1, 0, 100), 101), Scan::Cut);
    let two = [old(1, 0, 100), old(1, 0, 101)].concat();
    assert_eq!(find(&two, 101), record(101, Stamp::Created(30)));
}

#[test]
fn a_small_frame_cannot_claim_a_large_block() {
    let bomb = [0xff, 0xff, 0xff, 0x07, 0, 0, 0];
    assert!(unpack(Codec::Snappy, &bomb).is_err());
}

fn any_batch() -> impl Strategy<Value = Vec<u8>> {
    (prop::collection::vec(-5..2_000_i64, 1..8), 0..=4_i16).prop_map(|(times, codec)| {
        let plain = batch(&times);
        if codec == 0 { plain } else { packed(&plain, codec) }
    })
}

proptest! {
    #[test]
    fn no_bytes_make_the_search_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), from in 0..200_u64, end in 0..400_u64) {
        let _ = first_record(&bytes, Offset::new(from), Offset::new(end));
    }

    #[test]
    fn damaged_batches_never_panic_and_never_give_a_place_outside(
        bytes in any_batch(), damage in prop::collection::vec((0..500_usize, any::<u8>()), 0..6), cut in 0..800_usize, from in 90..120_u64
    ) {
        let mut bytes = bytes;
        for (at, value) in damage {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        bytes.truncate(cut);
        let end = 115;
        match first_record(&bytes, Offset::new(from), Offset::new(end)) {
            Ok(Scan::Found(RecordFound::Record { offset, .. })) => prop_assert!(offset.get() >= from && offset.get() < end),
            Ok(Scan::Found(RecordFound::Nothing { before })) => prop_assert!(before.get() <= end.max(from)),
            Ok(Scan::Cut) | Err(_) => {}
        }
    }
}
