import com.google.gson.Gson;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.springframework.kafka.core.DefaultKafkaConsumerFactory;
import org.springframework.kafka.core.DefaultKafkaProducerFactory;
import org.springframework.kafka.core.KafkaTemplate;
import org.springframework.kafka.listener.BatchAcknowledgingMessageListener;
import org.springframework.kafka.listener.ConsumerAwareRebalanceListener;
import org.springframework.kafka.listener.ContainerProperties;
import org.springframework.kafka.listener.DefaultErrorHandler;
import org.springframework.kafka.listener.KafkaMessageListenerContainer;
import org.springframework.kafka.support.Acknowledgment;
import org.springframework.util.backoff.FixedBackOff;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.Protocol;
import redis.clients.jedis.exceptions.JedisConnectionException;
import redis.clients.jedis.exceptions.JedisException;
import redis.clients.jedis.exceptions.JedisNoScriptException;

/**
 * A consumer with Spring Kafka that processes each event once and shows up in Tidemark's books.
 *
 * <pre>
 * tidemark ledger scripts --out scripts
 * tidemark ledger init --kafka HOST:PORT --redis URL --namespace shop --group invoice-service
 * java -cp 'jars/*' LedgerConsumer.java --kafka HOST:PORT --redis URL --namespace shop --group invoice-service \
 *     --topic orders --scripts scripts --to sent.jsonl
 * </pre>
 *
 * pom.xml beside it names the jars. docs/ledger-protocol.md says what every key, argument and reply is; {@code --conformance}
 * holds {@link Wire} to the vectors: tidemark conformance -- java -cp 'jars/*' LedgerConsumer.java --conformance
 */
public class LedgerConsumer {
    /** The protocol: what is sent, and what replies mean. Pure. */
    static final class Wire {
        static byte[] sha1(byte[]... parts) {
            try {
                MessageDigest sha1 = MessageDigest.getInstance("SHA-1");
                for (byte[] part : parts) {
                    sha1.update(part);
                }
                return sha1.digest();
            } catch (NoSuchAlgorithmException impossible) {
                throw new IllegalStateException(impossible);
            }
        }

        static byte[] utf8(Object text) {
            return text.toString().getBytes(StandardCharsets.UTF_8);
        }

        static byte[] digest(String source, String id) {
            return sha1(utf8(source), new byte[1], utf8(id));
        }

        private static long modulo(byte[] bytes, int at, long n) {
            return Integer.toUnsignedLong(ByteBuffer.wrap(bytes).getInt(at)) % n;
        }

        static long bucket(byte[] digest, long buckets) {
            return modulo(digest, 16, buckets);
        }

        /** Without a record key the event's id takes its place; an empty key is a key. */
        static int shard(byte[] key, String id, long shards) {
            return (int) modulo(sha1(key == null ? utf8(id) : key), 0, shards);
        }

        /** A source or an id as its header has it; null where it is none: 1 to 256 bytes of UTF-8. */
        static String named(Header header) {
            if (header == null || header.value() == null || header.value().length == 0 || header.value().length > 256) {
                return null;
            }
            try {
                return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(header.value())).toString();
            } catch (CharacterCodingException noText) {
                return null;
            }
        }

        /** Two bytes that notice the same id with another payload; 0000 means that none was given. */
        static byte[] payloadHash(byte[] value) {
            if (value == null) {
                return new byte[2];
            }
            byte[] hash = sha1(value);
            return hash[0] == 0 && hash[1] == 0 ? new byte[] {0, 1} : new byte[] {hash[0], hash[1]};
        }

        static byte[] place(int topic, int partition, long offset) {
            return ByteBuffer.allocate(10).putShort((short) topic).putShort((short) partition)
                    .putShort((short) (offset >>> 32)).putInt((int) offset).array();
        }

        /** A name as it is kept for people: no NUL, at most 256 bytes, whole characters. */
        static String label(String name) {
            StringBuilder kept = new StringBuilder();
            int bytes = 0;
            for (int c : name.replace("\0", "").codePoints().toArray()) {
                bytes += utf8(Character.toString(c)).length;
                if (bytes > 256) {
                    break;
                }
                kept.appendCodePoint(c);
            }
            return kept.toString();
        }

        /** One event of a call: a delivery that is claimed, or, with a fence, a grant. */
        record Event(String source, String id, byte[] place, byte[] payload, boolean waited, Long fence) {
            Event withFence(long fence) {
                return new Event(source, id, place, payload, waited, fence);
            }
        }

        record Lane(String name, long number) {}

        record Call(List<byte[]> keys, List<byte[]> argv) {}

        /** KEYS and ARGV of a call to one shard. {@code own} are its arguments before the events. */
        static Call pack(String call, String tag, long buckets, long generation, String incarnation, Lane lane, List<?> own,
                List<Event> events) {
            List<byte[]> keys = new ArrayList<>();
            for (String part : List.of("m", "p", "x", "y", "q:" + (lane == null ? "0" : lane.name()), "w")) {
                keys.add(utf8(tag + ":" + part));
            }
            List<byte[]> argv = new ArrayList<>(List.of(utf8(lane == null ? 0 : lane.number()), utf8(generation), utf8(incarnation)));
            own.forEach(argument -> argv.add(utf8(argument)));
            boolean isClaim = call.equals("claim") || call.equals("seen");
            boolean isHold = call.equals("release") || call.equals("extend");
            for (Event event : events) {
                byte[] digest = digest(event.source(), event.id());
                if (!isHold) {
                    keys.add(utf8(tag + ":d:" + generation + ":" + bucket(digest, buckets)));
                    keys.add(utf8(tag + ":d:" + Math.max(generation - 1, 0) + ":" + bucket(digest, buckets)));
                }
                argv.add(Arrays.copyOf(digest, 16));
                if (isHold) {
                    argv.add(utf8(event.fence()));
                    continue;
                }
                byte[] fence = isClaim ? new byte[0] : Arrays.copyOfRange(ByteBuffer.allocate(8).putLong(event.fence()).array(), 1, 8);
                byte[] mark = utf8(isClaim && event.waited() ? "1" : "");
                argv.add(ByteBuffer.allocate(fence.length + 12 + mark.length).put(fence).put(event.place()).put(event.payload())
                        .put(mark).array());
                argv.add(utf8(label(event.id()) + "\0" + label(event.source())));
            }
            return new Call(keys, argv);
        }

        /** What one event was answered; the words are those of the vectors. */
        static Map<String, Object> read(String reply) {
            String[] words = reply.split(" ", 2);
            Map<String, Object> means = new LinkedHashMap<>();
            switch (words[0]) {
                case "G" -> {
                    String[] parts = words[1].split(" ");
                    means.put("is", "granted");
                    means.put("fence", Long.parseLong(parts[0]));
                    means.put("attempt", Long.parseLong(parts[1]));
                    means.put("how", parts[2]);
                }
                case "D" -> {
                    String[] parts = words[1].split(" ");
                    Map<String, Object> place = new LinkedHashMap<>();
                    place.put("topic", Long.parseLong(parts[2].substring(0, 4), 16));
                    place.put("partition", Long.parseLong(parts[2].substring(4, 8), 16));
                    place.put("offset", Long.parseLong(parts[2].substring(8), 16));
                    means.put("is", "duplicate");
                    means.put("cause", parts[0]);
                    means.put("first_us", Long.parseLong(parts[1]));
                    means.put("first_place", place);
                    means.put("late", parts[3].equals("1"));
                }
                case "B" -> {
                    String[] parts = words[1].split(" ", 2);
                    means.put("is", "busy");
                    means.put("ms", Long.parseLong(parts[0]));
                    means.put("owner", parts[1]);
                }
                case "L" -> {
                    means.put("is", "not_yet");
                    means.put("ms", Long.parseLong(words[1]));
                }
                case "X" -> {
                    means.put("is", "conflict");
                    means.put("payload_hash", words[1]);
                }
                case "K" -> {
                    means.put("is", "known");
                    means.put("first_us", Long.parseLong(words[1]));
                }
                case "OK" -> means.put("is", "done");
                default -> means.put("is", words[0].toLowerCase());
            }
            return means;
        }
    }

    /** The whole call was refused: nothing of it was done. */
    static final class Refused extends RuntimeException {
        Refused(List<String> reply) {
            super(String.join(" ", reply));
        }
    }

    /** The ledger of one group over one connection. Every call goes in a lane, so that one whose reply was lost is counted once. */
    static final class Ledger {
        private static final long CALL_MS = 3_000;
        private static final long SILENCE_MS = 3_000_000; // the server keeps a silent lane for an hour
        private static final long FINISHES_MS = 300_000;
        private static final int FINISHES_MAX = 10_000;

        /** A lane whose last call was answered, and when. */
        private record Free(Wire.Lane lane, long atMs) {}

        /** A `complete` or `fail` that was sent. */
        private record Finish(long atMs, String call, int shard, Wire.Event grant) {}

        private final URI url;
        private final String namespace;
        private final String group;
        private final Map<String, byte[]> scripts = new HashMap<>();
        private final Map<Integer, Free> lanes = new HashMap<>();
        private final Deque<Finish> finishes = new ArrayDeque<>();
        private boolean hadReplica;
        private boolean inDoubt;
        final String owner;
        String incarnation;
        String server;
        int shards;
        long buckets;
        private long windowMs;
        private Jedis redis;

        Ledger(URI url, String namespace, String group, Path folder, String owner) throws IOException {
            this.url = url;
            this.namespace = namespace;
            this.group = group;
            this.owner = owner;
            try (var files = Files.newDirectoryStream(folder, "*.lua")) {
                for (Path file : files) {
                    scripts.put(file.getFileName().toString().replace(".lua", ""), Files.readAllBytes(file));
                }
            }
            open();
        }

        /** Takes the ledger and the server as they are now. */
        void open() {
            hadReplica = false;
            server = serverId();
            String was = incarnation;
            incarnation = redis().hget(tag(0) + ":m", "inc");
            if (incarnation == null) {
                throw new IllegalStateException("there is no ledger " + namespace + "/" + group + ": tidemark ledger init --group " + group);
            }
            String[] parts = incarnation.split("\\.");
            shards = Integer.parseInt(parts[1]);
            buckets = Long.parseLong(parts[2]);
            windowMs = Long.parseLong(parts[3]);
            lanes.clear();
            if (!incarnation.equals(was)) {
                finishes.clear(); // they were another ledger's
            }
        }

        private Jedis redis() {
            if (redis == null) {
                redis = new Jedis(url, DefaultJedisClientConfig.builder().autoNegotiateProtocol(false)
                        .connectionTimeoutMillis((int) CALL_MS).socketTimeoutMillis((int) CALL_MS).build());
            }
            return redis;
        }

        void disconnect() {
            if (redis != null) {
                redis.close();
                redis = null;
            }
        }

        String tag(int shard) {
            return "{led2:" + namespace + ":" + group + ":" + shard + "}";
        }

        private String info(String section, String field) {
            for (String line : redis().info(section).split("\r\n")) {
                if (line.startsWith(field + ":")) {
                    return line.substring(field.length() + 1);
                }
            }
            return "";
        }

        /** One history of writes: another process, or a promotion, may not know what this one has answered. */
        private String serverId() {
            if (!info("replication", "role").equals("master")) {
                throw new JedisConnectionException("the server is a replica");
            }
            hadReplica |= redis().info("replication").lines().anyMatch(line -> line.matches("slave\\d+:.*state=online.*"));
            return info("server", "run_id") + "." + info("replication", "master_replid");
        }

        /** Whether offsets may be committed: by the server that has answered, and a replica has it where there was one. */
        boolean confirm() {
            boolean waits = hadReplica;
            if (waits) {
                // WAIT covers what its own connection has written: after a reconnect that would be nothing.
                run("mark", new Wire.Call(List.of(Wire.utf8(tag(0) + ":c")), List.of()));
                if ((Long) redis().sendCommand(Protocol.Command.WAIT, "1", "500") < 1) {
                    return false;
                }
            }
            if (!serverId().equals(server)) {
                throw new Refused(List.of("another server answers"));
            }
            return waits == hadReplica;
        }

        private List<String> run(String script, Wire.Call call) {
            byte[] text = scripts.get(script);
            String sha = HexFormat.of().formatHex(Wire.sha1(text));
            Object reply;
            try {
                reply = redis().sendCommand(Protocol.Command.EVALSHA, arguments(Wire.utf8(sha), call));
            } catch (JedisNoScriptException unknown) {
                reply = redis().sendCommand(Protocol.Command.EVAL, arguments(text, call));
            }
            List<String> words = new ArrayList<>();
            ((List<?>) reply).forEach(word -> words.add(new String((byte[]) word, StandardCharsets.UTF_8)));
            return words;
        }

        private static byte[][] arguments(byte[] script, Wire.Call call) {
            List<byte[]> all = new ArrayList<>(List.of(script, Wire.utf8(call.keys().size())));
            all.addAll(call.keys());
            all.addAll(call.argv());
            return all.toArray(byte[][]::new);
        }

        int topicNumber(String topic) {
            List<byte[]> keys = List.of(Wire.utf8("led2:" + namespace + ":topics"));
            List<String> reply = run("topic", new Wire.Call(keys, List.of(Wire.utf8(topic))));
            if (!reply.get(0).equals("OK")) {
                throw new Refused(reply);
            }
            return Integer.parseInt(reply.get(1));
        }

        /** One call; repeated under its number while its reply is not known. One answer an event. */
        List<Map<String, Object>> call(String call, int shard, List<?> own, List<Wire.Event> events) {
            long now = System.currentTimeMillis();
            // Until it is answered nobody knows what became of the call, and the lane with its number is used for nothing else.
            Free free = lanes.remove(shard);
            Wire.Lane lane = free == null || now - free.atMs() > SILENCE_MS ? new Wire.Lane(random(16), 1) : free.lane();
            long generation = now / windowMs;
            while (true) {
                List<String> reply;
                try {
                    reply = run(call, Wire.pack(call, tag(shard), buckets, generation, incarnation, lane, own, events));
                } catch (JedisConnectionException lost) {
                    disconnect();
                    if (System.currentTimeMillis() - now > CALL_MS) {
                        inDoubt = true;
                        throw lost;
                    }
                    continue;
                }
                if (reply.get(0).equals("OK")) {
                    lanes.put(shard, new Free(new Wire.Lane(lane.name(), lane.number() + 1), System.currentTimeMillis()));
                    return reply.stream().skip(1).map(Wire::read).toList();
                }
                if (!reply.get(0).equals("GEN")) {
                    throw new Refused(reply);
                }
                generation = Long.parseLong(reply.get(1));
            }
        }

        /** `complete` or `fail` for one event; remembered, in case that it does not arrive or the server loses it. */
        Map<String, Object> finish(String call, int shard, Wire.Event grant) {
            long now = System.currentTimeMillis();
            while (finishes.size() >= FINISHES_MAX || !finishes.isEmpty() && now - finishes.peek().atMs() > FINISHES_MS) {
                finishes.remove();
            }
            finishes.add(new Finish(now, call, shard, grant));
            Map<String, Object> answer = call(call, shard, List.of(owner), List.of(grant)).get(0);
            if (answer.get("is").equals("fenced")) {
                finishes.removeLast(); // it is another one's
            }
            return answer;
        }

        private record Ending(String call, int shard) {}

        /** After a lost reply or a loss, and before anything is claimed: work that was done is not to be granted once more. */
        void finishAgain() {
            Map<Ending, List<Wire.Event>> byCall = new LinkedHashMap<>();
            for (Finish each : finishes) {
                byCall.computeIfAbsent(new Ending(each.call(), each.shard()), none -> new ArrayList<>()).add(each.grant());
            }
            byCall.forEach((ending, grants) -> {
                for (int at = 0; at < grants.size(); at += 500) {
                    call(ending.call(), ending.shard(), List.of(owner), grants.subList(at, Math.min(at + 500, grants.size())));
                }
            });
            inDoubt = false;
        }

        boolean isInDoubt() {
            return inDoubt;
        }

        static String random(int bytes) {
            byte[] name = new byte[bytes];
            new SecureRandom().nextBytes(name);
            return HexFormat.of().formatHex(name);
        }
    }

    /** The listener: records of one partition at a time, in their order. */
    static final class Listener implements BatchAcknowledgingMessageListener<byte[], byte[]>, ConsumerAwareRebalanceListener {
        private static final long LEASE_MS = 15_000;
        private static final long RETRY_MS = 1_000;
        private static final int MAX_FAILURES = 5;
        private static final Duration REREAD = Duration.ofMinutes(5);
        private final Ledger ledger;
        private final int topic;
        private final String group;
        private final Path to;
        private final KafkaTemplate<byte[], byte[]> deadLetters;
        private final Set<Long> waited = new HashSet<>();
        private volatile boolean lost;
        private Duration pause = Duration.ZERO;

        Listener(Ledger ledger, String topic, String group, Path to, KafkaTemplate<byte[], byte[]> deadLetters) {
            this.ledger = ledger;
            this.topic = ledger.topicNumber(topic);
            this.group = group;
            this.to = to;
            this.deadLetters = deadLetters;
        }

        /** What the ledger cannot answer for is read again later; nothing is worked on without a claim. */
        @Override
        public void onMessage(List<ConsumerRecord<byte[], byte[]>> records, Acknowledgment ack) {
            if (lost) { // until the container has started again
                ack.nack(0, Duration.ofSeconds(1));
                return;
            }
            try {
                if (ledger.isInDoubt()) {
                    ledger.finishAgain();
                }
                int settled = work(records);
                if (!ledger.confirm()) {
                    ack.nack(0, Duration.ofSeconds(1)); // settled all the same: what comes again is recognised
                } else if (settled == records.size()) {
                    ack.acknowledge();
                } else {
                    ack.nack(settled, pause);
                }
            } catch (JedisException away) {
                System.err.println("redis: " + away.getMessage());
                ledger.disconnect();
                ack.nack(0, Duration.ofSeconds(1));
            } catch (Refused refused) {
                System.err.println("the ledger refuses: " + refused.getMessage());
                if (refused.getMessage().startsWith("LOST") || refused.getMessage().startsWith("another server")) {
                    // The container stops, leaves the group and starts again: then it goes back as a new owner does.
                    lost = true;
                }
                ack.nack(0, Duration.ofSeconds(1));
            }
        }

        /** Gives how many records from the first on are settled; the next one has to wait for `pause`. */
        private int work(List<ConsumerRecord<byte[], byte[]>> records) {
            List<Wire.Event> deliveries = new ArrayList<>();
            records.forEach(record -> deliveries.add(delivery(record)));
            List<Map<String, Object>> claims = claim(records, deliveries);
            long grantedAt = System.currentTimeMillis();
            int end = endAtSuspect(claims);
            if (end < records.size()) {
                hold("release", List.of(0, "handed_back"), records, deliveries, claims, end);
            }
            for (int at = 0; at < end; at++) {
                ConsumerRecord<byte[], byte[]> record = records.get(at);
                Map<String, Object> claim = claims.get(at);
                pause = Duration.ZERO;
                switch ((String) claim.get("is")) {
                    case "busy" -> {
                        if (!claim.get("owner").equals(ledger.owner)) {
                            waited.add(key(record));
                        }
                        pause = Duration.ofMillis(Math.min(Math.max((Long) claim.get("ms"), 20), 1_000));
                    }
                    case "not_yet" -> pause = Duration.ofMillis(Math.max((Long) claim.get("ms"), 20));
                    case "conflict" -> bury(record, "conflict", "an event with this id and another payload came before");
                    case "granted" -> {
                        if (System.currentTimeMillis() - grantedAt > LEASE_MS / 3) {
                            hold("extend", List.of(LEASE_MS, ""), records, deliveries, claims, at);
                            grantedAt = System.currentTimeMillis();
                        }
                        workOn(record, deliveries.get(at), claim);
                    }
                    default -> { } // a duplicate: counted, and nothing is left to do
                }
                if (!pause.isZero()) {
                    hold("release", List.of(0, "handed_back"), records.subList(0, end), deliveries, claims, at + 1);
                    return at;
                }
                waited.remove(key(record));
            }
            return end;
        }

        /**
         * An event that comes again after its owner died, or after it failed, may be what the owner died of: it is worked on alone, so
         * that it takes no others with it when it kills again. What lies before it goes on without it.
         */
        private static int endAtSuspect(List<Map<String, Object>> claims) {
            int first = -1;
            for (int at = 0; at < claims.size(); at++) {
                if (!claims.get(at).get("is").equals("granted")) {
                    continue;
                }
                first = first < 0 ? at : first;
                if ((Long) claims.get(at).get("attempt") > 1) {
                    return at == first ? at + 1 : at;
                }
            }
            return claims.size();
        }

        private void workOn(ConsumerRecord<byte[], byte[]> record, Wire.Event delivery, Map<String, Object> claim) {
            Wire.Event grant = delivery.withFence((Long) claim.get("fence"));
            int shard = Wire.shard(record.key(), delivery.id(), ledger.shards);
            try {
                process(delivery, claim);
            } catch (IOException | RuntimeException failure) {
                if ((Long) claim.get("attempt") < MAX_FAILURES) {
                    ledger.call("release", shard, List.of(RETRY_MS, "failed"), List.of(grant));
                    pause = Duration.ofMillis(RETRY_MS);
                } else {
                    bury(record, "failed", String.valueOf(failure.getMessage()));
                    ledger.finish("fail", shard, grant);
                }
                return;
            }
            Map<String, Object> done = ledger.finish("complete", shard, grant);
            if (done.get("is").equals("fenced")) {
                pause = Duration.ofMillis(250); // somebody took over meanwhile: what they make of it is waited for
            }
        }

        /** The work itself. Whoever is called has to be given the event's id as idempotency key. */
        private void process(Wire.Event event, Map<String, Object> claim) throws IOException {
            Map<String, Object> line = new LinkedHashMap<>();
            line.put("idempotency_key", event.id());
            line.put("fence", claim.get("fence"));
            line.put("attempt", claim.get("attempt"));
            Files.writeString(to, new Gson().toJson(line) + "\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        }

        private Wire.Event delivery(ConsumerRecord<byte[], byte[]> record) {
            String source = Wire.named(record.headers().lastHeader("ce_source"));
            String id = Wire.named(record.headers().lastHeader("ce_id"));
            if (source == null || id == null) { // known by its place alone: another copy of it is not recognised
                source = "kafka:" + record.topic();
                id = record.topic() + "/" + record.partition() + "/" + record.offset();
            }
            byte[] place = Wire.place(topic, record.partition(), record.offset());
            return new Wire.Event(source, id, place, Wire.payloadHash(record.value()), waited.contains(key(record)), null);
        }

        private static long key(ConsumerRecord<?, ?> record) {
            return (long) record.partition() << 48 | record.offset();
        }

        /** `tidemark dlt redrive` writes for which group a copy is sent again: that one runs what it had given up. */
        private String intent(ConsumerRecord<?, ?> record) {
            Header redrive = record.headers().lastHeader("tidemark_dlt-redrive");
            if (redrive == null || redrive.value() == null) {
                return "normal";
            }
            return Arrays.equals(redrive.value(), Wire.utf8(group)) ? "redrive" : "replay";
        }

        private record Ask(int shard, String intent) {}

        /** One call a shard and intent, answers in the order of the records. */
        private List<Map<String, Object>> claim(List<ConsumerRecord<byte[], byte[]>> records, List<Wire.Event> deliveries) {
            Map<Ask, List<Integer>> asks = new LinkedHashMap<>();
            for (int at = 0; at < records.size(); at++) {
                int shard = Wire.shard(records.get(at).key(), deliveries.get(at).id(), ledger.shards);
                asks.computeIfAbsent(new Ask(shard, intent(records.get(at))), none -> new ArrayList<>()).add(at);
            }
            List<Map<String, Object>> claims = new ArrayList<>(records.stream().map(none -> Map.<String, Object>of()).toList());
            asks.forEach((ask, places) -> {
                List<Wire.Event> events = places.stream().map(deliveries::get).toList();
                List<?> own = List.of(LEASE_MS, ask.intent(), ledger.owner);
                List<Map<String, Object>> answers = ledger.call("claim", ask.shard(), own, events);
                for (int i = 0; i < answers.size(); i++) {
                    claims.set(places.get(i), answers.get(i));
                }
            });
            return claims;
        }

        /** Gives back, or holds on to, what is granted from `from` on. */
        private void hold(String call, List<?> own, List<ConsumerRecord<byte[], byte[]>> records, List<Wire.Event> deliveries,
                List<Map<String, Object>> claims, int from) {
            Map<Integer, List<Wire.Event>> byShard = new TreeMap<>();
            for (int at = from; at < records.size(); at++) {
                if (claims.get(at).get("is").equals("granted")) {
                    int shard = Wire.shard(records.get(at).key(), deliveries.get(at).id(), ledger.shards);
                    Wire.Event grant = deliveries.get(at).withFence((Long) claims.get(at).get("fence"));
                    byShard.computeIfAbsent(shard, none -> new ArrayList<>()).add(grant);
                }
            }
            byShard.forEach((shard, grants) -> ledger.call(call, shard, own, grants));
        }

        /** A copy in the dead-letter topic, acknowledged before anything is settled. */
        private void bury(ConsumerRecord<byte[], byte[]> record, String reason, String message) {
            String place = record.topic() + "/" + record.partition() + "@" + record.offset();
            ProducerRecord<byte[], byte[]> letter =
                    new ProducerRecord<>(record.topic() + "." + group + ".dlt", null, record.key(), record.value(), record.headers());
            for (Header header : record.headers()) { // this may be its second time
                if (header.key().startsWith("kafka_dlt-") || header.key().startsWith("tidemark_dlt-")) {
                    letter.headers().remove(header.key());
                }
            }
            letter.headers().add("kafka_dlt-original-topic", Wire.utf8(record.topic()));
            letter.headers().add("kafka_dlt-original-partition", ByteBuffer.allocate(4).putInt(record.partition()).array());
            letter.headers().add("kafka_dlt-original-offset", ByteBuffer.allocate(8).putLong(record.offset()).array());
            letter.headers().add("kafka_dlt-original-consumer-group", Wire.utf8(group));
            letter.headers().add("kafka_dlt-exception-message", Wire.utf8(message));
            letter.headers().add("tidemark_dlt-reason", Wire.utf8(reason));
            letter.headers().add("tidemark_dlt-place", Wire.utf8(place));
            deadLetters.send(letter).join();
        }

        /** A partition whose offset was committed on another server, or before a loss, is read again: the ledger decides. */
        @Override
        public void onPartitionsAssigned(Consumer<?, ?> consumer, Collection<TopicPartition> partitions) {
            try {
                if (lost) {
                    ledger.open();
                    ledger.finishAgain();
                }
                goBack(consumer, partitions);
                lost = false;
            } catch (RuntimeException failure) {
                lost = true; // nothing is worked on until the container has started once more
                throw failure;
            }
        }

        private void goBack(Consumer<?, ?> consumer, Collection<TopicPartition> partitions) {
            Map<TopicPartition, Long> times = new HashMap<>();
            consumer.committed(new HashSet<>(partitions)).forEach((partition, committed) -> {
                String[] note = committed == null ? new String[0] : committed.metadata().split(":");
                boolean isOurs = note.length >= 3 && note[0].equals("led2") && note[1].equals(ledger.incarnation);
                if (isOurs && (lost || !note[2].equals(ledger.server))) {
                    times.put(partition, System.currentTimeMillis() - REREAD.toMillis());
                }
            });
            consumer.offsetsForTimes(times).forEach((partition, found) -> {
                if (found != null) {
                    consumer.seek(partition, found.offset());
                }
            });
        }

        boolean hasLost() {
            return lost;
        }
    }

    /** Answers the questions of `tidemark conformance`, one a line. */
    static void conformance() throws IOException {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        Gson gson = new Gson();
        long buckets = 1;
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            JsonObject q = JsonParser.parseString(line).getAsJsonObject();
            Map<String, Object> answer = new LinkedHashMap<>();
            switch (q.get("ask").getAsString()) {
                case "begin" -> buckets = Long.parseLong(q.get("incarnation").getAsString().split("\\.")[2]);
                case "identity" -> identity(q, answer);
                case "call" -> asked(q, buckets, answer);
                default -> meaning(q, answer);
            }
            System.out.println(gson.toJson(answer));
            System.out.flush();
        }
    }

    private static byte[] plain(JsonElement value) {
        if (value.isJsonNull()) {
            return null;
        }
        return value.isJsonObject()
                ? HexFormat.of().parseHex(value.getAsJsonObject().get("hex").getAsString()) : Wire.utf8(value.getAsString());
    }

    private static void identity(JsonObject q, Map<String, Object> answer) {
        String id = q.get("id").getAsString();
        byte[] digest = Wire.digest(q.get("source").getAsString(), id);
        String hex = HexFormat.of().formatHex(digest);
        answer.put("digest", hex);
        answer.put("open_key", hex.substring(0, 32));
        answer.put("bucket_key", hex.substring(16, 32));
        answer.put("bucket", Wire.bucket(digest, q.get("buckets").getAsLong()));
        answer.put("shard", Wire.shard(plain(q.get("key")), id, q.get("shards").getAsLong()));
        answer.put("payload_hash", HexFormat.of().formatHex(Wire.payloadHash(plain(q.get("value")))));
    }

    private static void asked(JsonObject q, long buckets, Map<String, Object> answer) {
        String call = q.get("call").getAsString();
        JsonObject a = q.getAsJsonObject("asks");
        List<Object> own = switch (call) {
            case "claim" -> List.of(a.get("lease_ms").getAsString(), a.get("intent").getAsString(), a.get("owner").getAsString());
            case "seen" -> List.of(a.get("report").getAsString(), a.get("intent").getAsString(), a.get("owner").getAsString());
            case "complete", "fail" -> List.of(a.get("owner").getAsString());
            case "release" -> List.of(a.get("delay_ms").getAsString(), a.get("reason").getAsString());
            case "extend" -> List.of(a.get("lease_ms").getAsString(), "");
            case "note" -> List.of(a.get("lost_calls").getAsString(), a.get("reread").getAsString(), a.get("unconfirmed_ms").getAsString());
            default -> null; // commit and begin: this consumer keeps no state in the ledger
        };
        if (own == null) {
            answer.put("unsupported", true);
            return;
        }
        List<Wire.Event> events = new ArrayList<>();
        JsonArray given = a.has("events") ? a.getAsJsonArray("events") : a.has("grants") ? a.getAsJsonArray("grants") : new JsonArray();
        for (JsonElement each : given) {
            JsonObject event = each.getAsJsonObject();
            JsonObject at = event.getAsJsonObject("place");
            byte[] place = Wire.place(at.get("topic").getAsInt(), at.get("partition").getAsInt(), at.get("offset").getAsLong());
            byte[] payload = HexFormat.of().parseHex(event.get("payload_hash").getAsString());
            boolean waited = event.has("waited") && event.get("waited").getAsBoolean();
            Long fence = event.has("fence") ? event.get("fence").getAsLong() : null;
            events.add(new Wire.Event(event.get("source").getAsString(), event.get("id").getAsString(), place, payload, waited, fence));
        }
        JsonElement in = q.get("lane");
        Wire.Lane lane = in.isJsonNull() ? null
                : new Wire.Lane(in.getAsJsonObject().get("name").getAsString(), in.getAsJsonObject().get("number").getAsLong());
        String tag = "{led2:" + q.get("namespace").getAsString() + ":" + q.get("group").getAsString() + ":" + q.get("shard").getAsInt() + "}";
        Wire.Call packed = Wire.pack(call, tag, buckets, q.get("generation").getAsLong(), q.get("incarnation").getAsString(), lane, own, events);
        answer.put("keys", packed.keys().stream().map(key -> new String(key, StandardCharsets.UTF_8)).toList());
        answer.put("argv", packed.argv().stream().map(bytes -> Map.of("hex", HexFormat.of().formatHex(bytes))).toList());
    }

    private static void meaning(JsonObject q, Map<String, Object> answer) {
        List<String> reply = new ArrayList<>();
        q.getAsJsonArray("reply").forEach(word -> reply.add(word.getAsString()));
        String call = q.get("call").getAsString();
        if (call.equals("commit") || call.equals("begin") || call.equals("note")) {
            answer.put("unsupported", true);
            return;
        }
        if (reply.get(0).equals("OK")) {
            answer.put("means", reply.stream().skip(1).map(Wire::read).toList());
            return;
        }
        Map<String, Object> refused = new LinkedHashMap<>(Map.of("refused", reply.get(0)));
        switch (reply.get(0)) {
            case "LOST", "STALE" -> refused.put("last", Long.parseLong(reply.get(1)));
            case "BADARG" -> refused.put("why", reply.get(1));
            default -> { }
        }
        answer.put("means", refused);
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments.length > 0 && arguments[0].equals("--conformance")) {
            conformance();
            return;
        }
        Map<String, String> flags = new HashMap<>(Map.of("--namespace", "shop"));
        for (int at = 0; at + 1 < arguments.length; at += 2) {
            flags.put(arguments[at], arguments[at + 1]);
        }
        String group = flags.get("--group");
        String topic = flags.get("--topic");
        String owner = group + "-" + ProcessHandle.current().pid() + "-" + Ledger.random(4);
        Ledger ledger = new Ledger(URI.create(flags.get("--redis")), flags.get("--namespace"), group, Path.of(flags.get("--scripts")), owner);
        KafkaTemplate<byte[], byte[]> deadLetters = new KafkaTemplate<>(new DefaultKafkaProducerFactory<>(Map.of(
                ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, flags.get("--kafka"),
                ProducerConfig.KEY_SERIALIZER_CLASS_CONFIG, ByteArraySerializer.class,
                ProducerConfig.VALUE_SERIALIZER_CLASS_CONFIG, ByteArraySerializer.class)));
        Listener listener = new Listener(ledger, topic, group, Path.of(flags.get("--to")), deadLetters);

        ContainerProperties properties = new ContainerProperties(topic);
        properties.setGroupId(group);
        properties.setMessageListener(listener);
        properties.setConsumerRebalanceListener(listener);
        properties.setAckMode(ContainerProperties.AckMode.MANUAL);
        properties.setSubBatchPerPartition(true); // a record that waits holds its own partition
        properties.setOffsetAndMetadataProvider(
                (metadata, offset) -> new OffsetAndMetadata(offset, "led2:" + ledger.incarnation + ":" + ledger.server));
        KafkaMessageListenerContainer<byte[], byte[]> container = new KafkaMessageListenerContainer<>(
                new DefaultKafkaConsumerFactory<>(Map.of(
                        ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, flags.get("--kafka"),
                        ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest",
                        ConsumerConfig.MAX_POLL_RECORDS_CONFIG, 50,
                        ConsumerConfig.SESSION_TIMEOUT_MS_CONFIG, 10_000,
                        ConsumerConfig.KEY_DESERIALIZER_CLASS_CONFIG, ByteArrayDeserializer.class,
                        ConsumerConfig.VALUE_DESERIALIZER_CLASS_CONFIG, ByteArrayDeserializer.class)),
                properties);
        // The default skips a record after ten failures; here nothing is ever passed over.
        container.setCommonErrorHandler(new DefaultErrorHandler(new FixedBackOff(1_000, FixedBackOff.UNLIMITED_ATTEMPTS)));
        container.start();
        CountDownLatch stopped = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            container.stop();
            stopped.countDown();
        }));
        while (!stopped.await(1, TimeUnit.SECONDS)) {
            if (listener.hasLost()) {
                container.stop();
                container.start();
            }
        }
    }
}
