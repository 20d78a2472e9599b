#!/usr/bin/env python3
"""A consumer in Python that processes each event once and shows up in Tidemark's books.

    tidemark ledger scripts --out scripts            # the ledger's scripts, once per version
    tidemark ledger init --kafka HOST:PORT --redis URL --namespace shop --group mail-service
    python3 ledger_consumer.py --kafka HOST:PORT --redis URL --namespace shop --group mail-service \
        --topic orders --scripts scripts --to sent.jsonl

Needs confluent-kafka and redis from PyPI. docs/ledger-protocol.md says what every key, argument and reply is. The first half of
this file knows that protocol and nothing else; `--conformance` holds it to the vectors: tidemark conformance -- python3
ledger_consumer.py --conformance
"""

import argparse
import hashlib
import json
import os
import secrets
import signal
import struct
import sys
import time
from collections import deque
from pathlib import Path

# ---- the protocol: what is sent, and what replies mean. Pure. --------------------------------------------------------------


def identity(source, id, key, value, shards, buckets):
    """What an event and its record are to the ledger."""
    digest = hashlib.sha1(source.encode() + b"\0" + id.encode()).digest()
    of_key = hashlib.sha1(id.encode() if key is None else key).digest()
    return {
        "digest": digest,
        "bucket": int.from_bytes(digest[16:20], "big") % buckets,
        "shard": int.from_bytes(of_key[:4], "big") % shards,
        "payload_hash": payload_hash(value),
    }


def named(header):
    """A source or an id as its header has it; None where it is none: 1 to 256 bytes of UTF-8."""
    try:
        return header.decode() if header and len(header) <= 256 else None
    except UnicodeDecodeError:
        return None


def payload_hash(value):
    """Two bytes that notice the same id with another payload; 0000 means that none was given."""
    if value is None:
        return b"\0\0"
    head = hashlib.sha1(value).digest()[:2]
    return b"\0\1" if head == b"\0\0" else head


def place_bytes(place):
    return struct.pack(">HH", place["topic"], place["partition"]) + place["offset"].to_bytes(6, "big")


def label(name):
    """A name as it is kept for people: no NUL, at most 256 bytes, whole characters."""
    return name.replace("\0", "").encode()[:256].decode(errors="ignore")


def pack(call, tag, shape, generation, incarnation, lane, a):
    """KEYS and ARGV of one call to one shard, as bytes."""
    name, number = (lane["name"], lane["number"]) if lane else ("0", 0)
    keys = [f"{tag}:{part}" for part in ("m", "p", "x", "y", f"q:{name}", "w")]
    argv = [number, generation, incarnation]
    events = a.get("events") or a.get("grants")
    if call in ("claim", "seen", "complete", "fail"):
        for event in events:
            bucket = identity(event["source"], event["id"], None, None, 1, shape["buckets"])["bucket"]
            keys += [f"{tag}:d:{g}:{bucket}" for g in (generation, max(generation - 1, 0))]
    if call in ("claim", "seen"):
        argv += [a["lease_ms"] if call == "claim" else a["report"], a["intent"], a["owner"]]
    elif call in ("complete", "fail"):
        argv.append(a["owner"])
    elif call == "release":
        argv += [a["delay_ms"], a["reason"]]
    elif call == "extend":
        argv += [a["lease_ms"], ""]
    elif call == "note":
        argv += [a["lost_calls"], a["reread"], a["unconfirmed_ms"]]
    else:
        raise NotImplementedError(call)  # commit and begin: this consumer keeps no state in the ledger
    for event in events or []:
        argv.append(identity(event["source"], event["id"], None, None, 1, 1)["digest"][:16])
        if call in ("release", "extend"):
            argv.append(event["fence"])
            continue
        place = place_bytes(event["place"]) + bytes.fromhex(event["payload_hash"])
        if call in ("claim", "seen"):
            argv.append(place + (b"1" if event["waited"] else b""))
        else:
            argv.append(event["fence"].to_bytes(7, "big") + place)
        argv.append(f"{label(event['id'])}\0{label(event['source'])}")
    return [k.encode() for k in keys], [v if isinstance(v, bytes) else str(v).encode() for v in argv]


def read(call, reply):
    """What a whole reply means: a list with one entry an event, or a dict that says why the call was refused."""
    word, rest = reply[0], reply[1:]
    if word in ("LOST", "STALE"):
        return {"refused": word, "last": int(rest[0])}
    if word == "GEN":
        return {"refused": word, "generation": int(rest[0])}
    if word == "AMNESIA":
        return {"refused": word, "found": rest[0]}
    if word != "OK":
        return {"refused": word, "why": rest[0]} if rest else {"refused": word}
    if call in ("commit", "begin"):
        raise NotImplementedError(call)
    if call == "note":
        return [{"is": "done", "lost_calls": int(rest[0])}]
    return [read_one(text) for text in rest]


def read_one(text):
    letter, _, rest = text.partition(" ")
    if letter == "G":
        fence, attempt, how = rest.split(" ")
        return {"is": "granted", "fence": int(fence), "attempt": int(attempt), "how": how}
    if letter == "D":
        cause, first, place, late = rest.split(" ")
        topic, partition = struct.unpack(">HH", bytes.fromhex(place[:8]))
        first_place = {"topic": topic, "partition": partition, "offset": int(place[8:], 16)}
        return {"is": "duplicate", "cause": cause, "first_us": int(first), "first_place": first_place, "late": late == "1"}
    if letter == "B":
        ms, _, owner = rest.partition(" ")
        return {"is": "busy", "ms": int(ms), "owner": owner}
    if letter == "L":
        return {"is": "not_yet", "ms": int(rest)}
    if letter == "X":
        return {"is": "conflict", "payload_hash": rest}
    if letter == "K":
        return {"is": "known", "first_us": int(rest)}
    return {"is": {"OK": "done"}.get(letter, letter.lower())}


# ---- held to the vectors: a question a line in, an answer a line out -------------------------------------------------------


def conformance():
    plain = lambda v: v if v is None else bytes.fromhex(v["hex"]) if isinstance(v, dict) else v.encode()
    shape = {}
    for line in sys.stdin:
        q = json.loads(line)
        try:
            if q["ask"] == "begin":
                shape = {"buckets": int(q["incarnation"].split(".")[2])}
                answer = {}
            elif q["ask"] == "identity":
                answer = identity(q["source"], q["id"], plain(q["key"]), plain(q["value"]), q["shards"], q["buckets"])
                digest = answer["digest"]
                answer |= {"open_key": digest[:16].hex(), "bucket_key": digest[8:16].hex(), "digest": digest.hex()}
                answer["payload_hash"] = answer["payload_hash"].hex()
            elif q["ask"] == "call":
                tag = "{led2:%s:%s:%d}" % (q["namespace"], q["group"], q["shard"])
                keys, argv = pack(q["call"], tag, shape, q["generation"], q["incarnation"], q["lane"], q["asks"])
                answer = {"keys": [k.decode() for k in keys], "argv": [{"hex": v.hex()} for v in argv]}
            else:
                answer = {"means": read(q["call"], q["reply"])}
        except NotImplementedError:
            answer = {"unsupported": True}
        print(json.dumps(answer), flush=True)


# ---- one ledger over one connection ----------------------------------------------------------------------------------------


class Refused(Exception):
    """The whole call was refused: AMNESIA, CLOCK, LOST, STALE or BADARG. Nothing of it was done."""


class Replaced(Exception):
    """Another server answers, or this one knows less than it has answered: what was done lately may be forgotten."""


class Ledger:
    """The ledger of one consumer group. Every call goes in a lane, so that one whose reply was lost is counted once."""

    CALL_S, WINDOW_S = 3.0, 300

    def __init__(self, url, namespace, group, scripts, owner):
        import redis

        self.lost_reply, self.redis_error = (redis.ConnectionError, redis.TimeoutError), redis.RedisError
        self.no_script = redis.exceptions.NoScriptError
        # One connection: calls go one after another.
        self.redis = redis.Redis.from_url(url, single_connection_client=True, socket_timeout=self.CALL_S)
        self.namespace, self.group, self.owner = namespace, group, owner
        self.scripts = {path.stem: path.read_text() for path in Path(scripts).glob("*.lua")}
        self.shas = {name: hashlib.sha1(text.encode()).hexdigest() for name, text in self.scripts.items()}
        self.finishes = deque(maxlen=10_000)  # the last ones: (time, call, shard, grant)
        self.in_doubt = False
        self.open()

    def open(self):
        inc = self.redis.hget(self.tag(0) + ":m", "inc")
        if inc is None:
            sys.exit(f"there is no ledger {self.namespace}/{self.group}: create it with tidemark ledger init --group {self.group}")
        self.incarnation = inc.decode()
        _, shards, buckets, window_ms = self.incarnation.split(".")
        self.shape = {"shards": int(shards), "buckets": int(buckets), "window_ms": int(window_ms)}
        self.lanes, self.had_replica = {}, False
        self.server = self.server_id()

    def tag(self, shard):
        return "{led2:%s:%s:%d}" % (self.namespace, self.group, shard)

    def server_id(self):
        """One history of writes: another process, or a promotion, may not know what this one has answered."""
        info = self.redis.info("server") | self.redis.info("replication")
        if info["role"] != "master":
            raise self.redis_error("the server is a replica")
        replicas = [value for name, value in info.items() if name.startswith("slave") and isinstance(value, dict)]
        self.had_replica |= any(replica["state"] == "online" for replica in replicas)
        return f"{info['run_id']}.{info['master_replid']}"

    def topic_number(self, topic):
        reply = self.evalsha("topic", [f"led2:{self.namespace}:topics"], [topic])
        if reply[0] != "OK":
            raise Refused(reply)
        return int(reply[1])

    def evalsha(self, script, keys, argv):
        try:
            reply = self.redis.evalsha(self.shas[script], len(keys), *keys, *argv)
        except self.no_script:
            reply = self.redis.eval(self.scripts[script], len(keys), *keys, *argv)
        return [part.decode() if isinstance(part, bytes) else str(part) for part in reply]

    def call(self, call, shard, **a):
        """One call; repeated under its number while its reply is not known, for at most CALL_S."""
        lane = self.lanes.setdefault(shard, {"name": secrets.token_hex(16), "number": 1, "at": time.monotonic()})
        if time.monotonic() - lane["at"] > 3000:  # the server keeps a silent lane for an hour
            lane |= {"name": secrets.token_hex(16), "number": 1}
        generation, end = int(time.time() * 1000) // self.shape["window_ms"], time.monotonic() + self.CALL_S
        # Until it is answered nobody knows what became of the call, and the lane with its number is used for nothing else.
        del self.lanes[shard]
        while True:
            keys, argv = pack(call, self.tag(shard), self.shape, generation, self.incarnation, lane, a)
            try:
                means = read(call, self.evalsha(call, keys, argv))
            except self.lost_reply:
                if time.monotonic() > end:
                    self.in_doubt = True
                    raise
                time.sleep(0.05)
                continue
            if isinstance(means, list):
                self.lanes[shard] = lane | {"number": lane["number"] + 1, "at": time.monotonic()}
                return means
            if means["refused"] == "LOST":
                raise Replaced(means)
            if means["refused"] != "GEN":
                raise Refused(means)
            generation = means["generation"]

    def finish(self, call, shard, grant):
        """`complete` or `fail` for one event; remembered, in case that it does not arrive or the server loses it."""
        self.finishes.append((time.monotonic(), call, shard, grant))
        answer = self.call(call, shard, owner=self.owner, grants=[grant])[0]
        if answer["is"] == "fenced":
            self.finishes.pop()  # it is another one's
        return answer

    def finish_again(self):
        """After a lost reply or a loss, and before anything is claimed: work that was done is not to be granted once more."""
        by_call, since = {}, time.monotonic() - self.WINDOW_S
        for at, call, shard, grant in self.finishes:
            if at >= since:
                by_call.setdefault((call, shard), []).append(grant)
        for (call, shard), grants in by_call.items():
            for first in range(0, len(grants), 500):
                self.call(call, shard, owner=self.owner, grants=grants[first:first + 500])
        self.in_doubt = False

    def confirm(self):
        """Whether offsets may be committed: by the server that has answered, and a replica has it where there was one."""
        waits = self.had_replica
        if waits:
            # WAIT covers what its own connection has written: both go over the same one, whatever was reconnected before.
            pipe = self.redis.pipeline(transaction=False)
            pipe.eval(self.scripts["mark"], 1, self.tag(0) + ":c")
            pipe.wait(1, 500)
            if pipe.execute()[-1] < 1:
                return False
        if self.server_id() != self.server:
            raise Replaced("another server answers")
        return waits == self.had_replica


# ---- the consumer ----------------------------------------------------------------------------------------------------------


class Worker:
    LEASE_MS, RETRY_MS, MAX_FAILURES, WINDOW_S = 15_000, 1_000, 5, 300

    def __init__(self, args):
        from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

        self.args, self.TopicPartition, self.KafkaException = args, TopicPartition, KafkaException
        owner = f"{args.group}-{os.getpid()}-{secrets.token_hex(4)}"
        self.ledger = Ledger(args.redis, args.namespace, args.group, args.scripts, owner)
        self.number = self.ledger.topic_number(args.topic)
        self.floors, self.settled, self.waited, self.resume_at = {}, {}, set(), {}
        self.lost = False
        self.dead_letters = Producer({"bootstrap.servers": args.kafka, "enable.idempotence": True})
        settings = {"bootstrap.servers": args.kafka, "group.id": args.group, "enable.auto.commit": False,
                    "auto.offset.reset": "earliest", "session.timeout.ms": 10_000, "allow.auto.create.topics": False}
        self.consumer = Consumer(settings)
        self.consumer.subscribe([args.topic], on_assign=self.assigned, on_revoke=self.revoked)
        self.stopped = False

    def stop(self, *_):
        self.stopped = True

    def run(self):
        while not self.stopped:
            now = time.monotonic()
            for partition in [p for p, at in self.resume_at.items() if at <= now]:
                del self.resume_at[partition]
                self.consumer.resume([self.TopicPartition(self.args.topic, partition)])
            batches = {}
            for record in self.consumer.consume(50, 0.2):
                if record.error():
                    print(record.error(), file=sys.stderr)
                elif record.partition() not in self.resume_at:
                    batches.setdefault(record.partition(), []).append(record)
            for partition, records in batches.items():
                # Where the group stood before its first commit: whoever reads on may have to go back so far.
                self.floors.setdefault(partition, deque([(time.monotonic(), records[0].offset())]))
            for partition, records in batches.items():
                self.handle(partition, records)
            self.guarded(self.commit)
            if self.lost:
                self.guarded(self.after_loss)
        self.dead_letters.flush(5)
        self.consumer.close()

    def handle(self, partition, records):
        """Works on what one partition has brought. Whatever is not settled of it is read again."""
        done, pause_s = records[0].offset(), 1.0
        if not self.lost:  # else all partitions go back in a moment
            answer = self.guarded(lambda: self.process(records))
            done, pause_s = answer or (done, pause_s)
        if done > records[0].offset():
            self.settled[partition] = done
        if pause_s is not None:  # the record at `done` has to wait, and so do all behind it
            self.wait(partition, done, pause_s)

    def guarded(self, what):
        """Does something with the ledger; None when it could not be done now."""
        try:
            return what()
        except self.ledger.redis_error as error:
            print(f"redis: {error}", file=sys.stderr)
        except Refused as error:
            print(f"the ledger refuses: {error}", file=sys.stderr)
        except Replaced as error:
            print(f"the ledger has lost something: {error}", file=sys.stderr)
            self.lost = True
        return None

    def process(self, records):
        """Works through one partition's records in order. Gives the next offset to read, and how long to wait before it."""
        deliveries = [self.delivery(record) for record in records]
        if self.args.report_only:
            return self.report(records, deliveries)
        if self.ledger.in_doubt:
            self.ledger.finish_again()
        claims = self.each_shard("claim", deliveries, lease_ms=self.LEASE_MS, owner=self.ledger.owner)
        granted_at, pause_s, wanted = time.monotonic(), None, len(records)
        end = self.end_at_suspect(claims)
        if end < wanted:
            self.hand_in("release", deliveries[end:], claims[end:], delay_ms=0, reason="handed_back")
            records, deliveries, claims = records[:end], deliveries[:end], claims[:end]
        for at, (record, delivery, claim) in enumerate(zip(records, deliveries, claims)):
            if claim["is"] in ("busy", "not_yet"):
                if claim["is"] == "busy" and claim["owner"] != self.ledger.owner:
                    self.waited.add((record.partition(), record.offset()))
                pause_s = min(max(claim["ms"], 20), 1_000) / 1_000
            elif claim["is"] == "conflict":
                self.bury(record, "conflict", "an event with this id and another payload came before")
            elif claim["is"] == "granted":
                if time.monotonic() - granted_at > self.LEASE_MS / 3_000:
                    self.hand_in("extend", deliveries[at:], claims[at:], lease_ms=self.LEASE_MS)
                    granted_at = time.monotonic()
                pause_s = self.work_on(record, delivery, claim)
            if pause_s is not None:
                self.hand_in("release", deliveries[at + 1:], claims[at + 1:], delay_ms=0, reason="handed_back")
                return record.offset(), pause_s
            self.waited.discard((record.partition(), record.offset()))
        return records[-1].offset() + 1, None if end == wanted else 0

    def end_at_suspect(self, claims):
        """An event that comes again after its owner died, or after it failed, may be what the owner died of: it is worked on
        alone, so that it takes no others with it when it kills again. What lies before it goes on without it."""
        granted = [(at, claim["attempt"]) for at, claim in enumerate(claims) if claim["is"] == "granted"]
        suspect = next((at for at, attempt in granted if attempt > 1), None)
        if suspect is None:
            return len(claims)
        return suspect + 1 if suspect == granted[0][0] else suspect

    def work_on(self, record, delivery, claim):
        """Works on one granted event; gives how long to wait when it is not settled."""
        grant, shard = delivery | {"fence": claim["fence"]}, delivery["shard"]
        try:
            self.work(delivery, claim)
        except Exception as error:  # whatever the work does: it counts as a failure of this event
            if claim["attempt"] < self.MAX_FAILURES:
                self.ledger.call("release", shard, delay_ms=self.RETRY_MS, reason="failed", grants=[grant])
                return self.RETRY_MS / 1_000
            self.bury(record, "failed", str(error))
            self.ledger.finish("fail", shard, grant)
            return None
        done = self.ledger.finish("complete", shard, grant)
        # Fenced: somebody took over while this one was slow, and the work ran twice. What the other one does is waited for.
        return 0.25 if done["is"] == "fenced" else None

    def work(self, delivery, claim):
        """The work itself. Whoever is called has to be given the event's id as idempotency key: after a crash it is called again."""
        line = {"idempotency_key": delivery["id"], "fence": claim.get("fence"), "attempt": claim.get("attempt")}
        with open(self.args.to, "a") as sent:
            sent.write(json.dumps(line) + "\n")

    def report(self, records, deliveries):
        """For a consumer that cannot ask first: it has worked already, and tells so. A repeat was executed twice then."""
        for delivery in deliveries:
            self.work(delivery, {})
            while True:
                answer = self.each_shard("seen", [delivery], report="executed", owner=self.ledger.owner)[0]
                if answer["is"] not in ("busy", "not_yet"):
                    break
                time.sleep(min(answer["ms"], 1_000) / 1_000)  # somebody who claims has it: told again when that has ended
        return records[-1].offset() + 1, None

    def delivery(self, record):
        headers = dict(record.headers() or [])
        source, id = named(headers.get("ce_source")), named(headers.get("ce_id"))
        if source is None or id is None:  # known by its place alone: another copy of it is not recognised
            source, id = f"kafka:{record.topic()}", f"{record.topic()}/{record.partition()}/{record.offset()}"
        shape = self.ledger.shape
        known = identity(source, id, record.key(), record.value(), shape["shards"], shape["buckets"])
        place = {"topic": self.number, "partition": record.partition(), "offset": record.offset()}
        waited = (record.partition(), record.offset()) in self.waited
        return {"source": source, "id": id, "shard": known["shard"], "place": place, "waited": waited,
                "payload_hash": known["payload_hash"].hex(), "intent": self.intent(headers)}

    def intent(self, headers):
        """`tidemark dlt redrive` writes for which group a copy is sent again: that one runs what it had given up."""
        if headers.get("tidemark_dlt-redrive") is None:
            return "normal"
        return "redrive" if headers["tidemark_dlt-redrive"] == self.args.group.encode() else "replay"

    def each_shard(self, call, deliveries, **a):
        """One call a shard and intent, answers in the order of the deliveries."""
        answers = [None] * len(deliveries)
        for shard, intent in sorted({(delivery["shard"], delivery["intent"]) for delivery in deliveries}):
            mine = [i for i, each in enumerate(deliveries) if (each["shard"], each["intent"]) == (shard, intent)]
            replies = self.ledger.call(call, shard, events=[deliveries[i] for i in mine], intent=intent, **a)
            for i, reply in zip(mine, replies):
                answers[i] = reply
        return answers

    def hand_in(self, call, deliveries, claims, **a):
        """`release` or `extend` for those that are granted."""
        grants = [d | {"fence": c["fence"]} for d, c in zip(deliveries, claims) if c["is"] == "granted"]
        for shard in {grant["shard"] for grant in grants}:
            self.ledger.call(call, shard, grants=[grant for grant in grants if grant["shard"] == shard], **a)

    def bury(self, record, reason, message):
        """A copy in the dead-letter topic, acknowledged before anything is settled."""
        place = f"{record.topic()}/{record.partition()}@{record.offset()}"
        of_a_letter = ("kafka_dlt-", "tidemark_dlt-")  # this may be its second time
        headers = [(name, value) for name, value in record.headers() or [] if not name.startswith(of_a_letter)]
        headers += [("kafka_dlt-original-topic", record.topic().encode()),
                    ("kafka_dlt-original-partition", struct.pack(">i", record.partition())),
                    ("kafka_dlt-original-offset", struct.pack(">q", record.offset())),
                    ("kafka_dlt-original-consumer-group", self.args.group.encode()),
                    ("kafka_dlt-exception-message", message.encode()), ("tidemark_dlt-reason", reason.encode()),
                    ("tidemark_dlt-place", place.encode())]
        failures = []
        self.dead_letters.produce(f"{record.topic()}.{self.args.group}.dlt", record.value(), record.key(), headers=headers,
                                  on_delivery=lambda error, _: failures.append(error) if error else None)
        if self.dead_letters.flush(20) or failures:
            raise RuntimeError(f"the dead letter of {place} was not written: {failures}")

    # ---- offsets: committed behind what is settled and safe, with a note for whoever reads on ------------------------------

    def commit(self):
        if not self.settled or self.lost or not self.ledger.confirm():
            return  # nothing is lost: it is tried again in the next round
        now, places = time.monotonic(), []
        for partition, offset in self.settled.items():
            points = self.floors[partition]
            if points[-1][0] < now - self.WINDOW_S / 16:
                points.append((now, offset))
            while len(points) > 1 and points[1][0] < now - self.WINDOW_S:
                points.popleft()
            # Should the server be replaced, whoever reads on goes back to where the group stood a window ago.
            note = f"led2:{self.ledger.incarnation}:{self.ledger.server}:{points[0][1]}"
            places.append(self.TopicPartition(self.args.topic, partition, offset, note))
        try:
            answers = self.consumer.commit(offsets=places, asynchronous=False)
            self.settled = {place.partition: place.offset for place in answers if place.error}
        except self.KafkaException as error:
            print(f"kafka: {error}", file=sys.stderr)

    def assigned(self, consumer, partitions):
        for place in consumer.committed(partitions, timeout=10):
            begin = next(p for p in partitions if p.partition == place.partition)
            self.forget(place.partition)
            if place.offset < 0:
                continue
            begin.offset, floor = place.offset, place.offset
            note = (place.metadata or "").split(":")
            if note[0] == "led2" and len(note) == 4 and note[1] == self.ledger.incarnation:
                floor = min(int(note[3]), place.offset)
                if note[2] != self.ledger.server:
                    begin.offset = floor  # the server was replaced: the ledger decides again what it still knows
            self.floors[place.partition] = deque([(time.monotonic(), floor)])
        consumer.assign(partitions)

    def revoked(self, _consumer, partitions):
        """Nothing is in hand between two batches; what is known of partitions that go away is forgotten."""
        for place in partitions:
            self.forget(place.partition)

    def forget(self, partition):
        for known in (self.floors, self.settled, self.resume_at):
            known.pop(partition, None)

    def after_loss(self):
        """Takes the ledger as it is now, settles again what it has forgotten, and only then reads again from where the group
        stood a window ago; nothing is skipped."""
        inc = self.ledger.incarnation
        self.ledger.open()
        if self.ledger.incarnation != inc:
            sys.exit("the ledger is another one: its data were lost, and an operator has accepted that; start again")
        self.ledger.finish_again()
        self.lost = False
        self.settled.clear()
        for partition, points in self.floors.items():
            floor = points[0][1]
            self.floors[partition] = deque([(time.monotonic(), floor)])
            self.wait(partition, floor, 0)

    def wait(self, partition, offset, pause_s):
        place = self.TopicPartition(self.args.topic, partition, offset)
        self.consumer.pause([place])
        self.consumer.seek(place)
        self.resume_at[partition] = time.monotonic() + pause_s


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conformance", action="store_true", help="answer the questions of tidemark conformance")
    for flag in ("--kafka", "--redis", "--group", "--topic", "--scripts", "--to"):
        parser.add_argument(flag)
    parser.add_argument("--namespace", default="shop")
    parser.add_argument("--report-only", action="store_true", help="work first, then tell the ledger")
    args = parser.parse_args()
    if args.conformance:
        return conformance()
    worker = Worker(args)
    signal.signal(signal.SIGTERM, worker.stop)
    signal.signal(signal.SIGINT, worker.stop)
    worker.run()


if __name__ == "__main__":
    main()
