import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.*;
import java.net.URI;
import java.net.http.*;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.time.Instant;
import java.util.*;
import java.util.concurrent.*;
import java.util.regex.*;

/**
 * The mapper of examples/mapper-go over WebSocket, with the Avro encoding: a consumer, which is kept what it misses, and a producer for each topic.
 * {@code java Mapper.java} runs it. Environment: WEIR_URL, MAPPER_USER, MAPPER_PASSWORD, MAPPER_SUBSCRIBER.
 */
public final class Mapper {
    static final Map<String, String> ENV = System.getenv();
    static final String URL = ENV.getOrDefault("WEIR_URL", "http://127.0.0.1:8083");
    static final String USER = ENV.getOrDefault("MAPPER_USER", "demo/service");
    static final String PASSWORD = ENV.getOrDefault("MAPPER_PASSWORD", "demo");
    static final String SUBSCRIBER = ENV.getOrDefault("MAPPER_SUBSCRIBER", "mapper-java");
    static final Duration PATIENCE = Duration.ofSeconds(15); // for any one answer
    static final int BEAT = 30; // seconds between two pings: after five minutes without any frame Weir closes a socket
    static final int MAX_PRODUCERS = 100;
    static final Pattern TOKEN = Pattern.compile("\"token\":\"([^\"]+)\"");
    static final Pattern READING = Pattern.compile("\\s*\\{\\s*\"temperature\"\\s*:\\s*(-?(0|[1-9]\\d*)(\\.\\d+)?([eE][+-]?\\d+)?)\\s*}\\s*");
    static final Pattern SPECIAL = Pattern.compile("[\\x00-\\x1f\"\\\\]"); // in a JSON string
    static final Set<String> FATAL = Set.of("bad_credentials", "role_not_permitted", "bad_request");
    static final Set<String> HOPELESS = Set.of("topic_invalid", "client_id_invalid", "packet_too_large", "message_too_large");
    static final HttpClient HTTP = HttpClient.newBuilder().connectTimeout(PATIENCE).build();
    static volatile boolean stopping;
    static volatile Session session;

    public static void main(String[] args) throws InterruptedException {
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            stopping = true;
            if (session != null) session.finish();
            Runtime.getRuntime().halt(0); // of SIGTERM the JVM would make 143
        }));
        for (long pause = 500; !stopping; pause = session.mapped ? 500 : Math.min(2 * pause, 30_000)) {
            try {
                session = new Session();
                session.run();
            } catch (IOException e) {
                if (!stopping) say(e.getMessage());
                if (FATAL.contains(code(e))) Runtime.getRuntime().halt(1);
            }
            Thread.sleep(pause - ThreadLocalRandom.current().nextLong(pause / 2));
        }
    }

    /** A consumer that maps one message after the other, until a socket fails. What it has not acknowledged by then comes again. */
    static final class Session extends Socket {
        final Map<String, Producer> producers = new HashMap<>(); // by topic
        volatile boolean mapped; // anything

        void run() throws IOException {
            try {
                open("consumer", SUBSCRIBER, "devices/+/up");
                say("maps devices/+/up as " + USER);
                while (ended.copy().completeOnTimeout(null, BEAT, TimeUnit.SECONDS).join() == null) ping();
                throw new IOException("the session ended: " + ended.join());
            } finally {
                finish();
            }
        }

        /** Closes everything, behind the acknowledgement of the message that is being mapped. */
        synchronized void finish() {
            close();
            producers.values().removeIf(Socket::close);
        }

        @Override synchronized void take(String frame) {
            int line = frame.indexOf('\n');
            if (line < 0) say(frame); // an error
            if (line < 0 || stopping || ended.isDone()) return;
            try {
                map(Message.decode(Base64.getDecoder().decode(frame.substring(line + 1))));
                send(frame.substring(0, line));
                mapped = true;
            } catch (IOException e) {
                ended.complete(e.getMessage());
            }
        }

        void map(Message in) throws IOException {
            String id = in.topic.split("/", -1)[1];
            Matcher reading = READING.matcher(in.payload);
            String answer = "{\"accepted\":false,\"error\":\"the payload is not {\\\"temperature\\\":<number>}\"}";
            if (reading.matches()) {
                String mapped = "{\"source\":%s,\"celsius\":%s,\"time\":\"%s\"}".formatted(quote(in.clientId), reading.group(1), Instant.now());
                publish("mapped/" + id, new Message(null, null, null, mapped));
                answer = "{\"accepted\":true}";
            }
            if (in.clientId == null) return; // from another service
            publish("devices/" + id + "/down", new Message(in.clientId, in.correlationData, null, answer));
        }

        /** Publishes, and gives up what would never be stored. Any other failure ends the session: Avro has no nak. */
        void publish(String topic, Message message) throws IOException {
            try {
                Producer producer = producers.get(topic);
                if (producer == null || producer.ended.isDone()) { // Weir closes what is not used
                    if (producers.size() == MAX_PRODUCERS) producers.values().removeIf(Socket::close);
                    producer = new Producer();
                    producer.open("producer", "mqttServicePublisher", topic);
                    producers.put(topic, producer);
                }
                producer.publish(message);
            } catch (IOException e) {
                if (!HOPELESS.contains(code(e))) throw e;
                say(topic + ": " + e.getMessage());
            }
        }
    }

    /** A socket for one topic. */
    static final class Producer extends Socket {
        private CompletableFuture<String> answer;
        private int seq;

        @Override void take(String frame) { answer.complete(frame); }

        void publish(Message message) throws IOException {
            answer = ended.copy().orTimeout(PATIENCE.toSeconds(), TimeUnit.SECONDS);
            send(++seq + "\n" + Base64.getEncoder().encodeToString(message.encode()));
            if (!await(answer).equals(String.valueOf(seq))) throw new IOException(answer.join());
        }
    }

    abstract static class Socket implements WebSocket.Listener {
        final CompletableFuture<String> ended = new CompletableFuture<>(); // with the reason
        private final StringBuilder frame = new StringBuilder();
        private volatile WebSocket socket;

        abstract void take(String frame);

        void open(String kind, String subscriber, String subscription) throws IOException {
            String basic = "Basic " + Base64.getEncoder().encodeToString((USER + ":" + PASSWORD).getBytes(UTF_8));
            var body = HttpRequest.BodyPublishers.ofString("{\"subscriber\":%s,\"subscription\":%s}".formatted(quote(subscriber), quote(subscription)));
            var request = HttpRequest.newBuilder(URI.create(URL + "/notification2/token")).timeout(PATIENCE).header("Authorization", basic).POST(body);
            String answer = await(HTTP.sendAsync(request.build(), HttpResponse.BodyHandlers.ofString())).body();
            Matcher token = TOKEN.matcher(answer);
            if (!token.find()) throw new IOException(answer);
            String address = URL.replaceFirst("^http", "ws") + "/notification2/" + kind + "/?token=" + token.group(1);
            socket = await(HTTP.newWebSocketBuilder().connectTimeout(PATIENCE).buildAsync(URI.create(address), this));
        }

        void send(String text) throws IOException { await(socket.sendText(text, true)); }
        void ping() throws IOException { await(socket.sendPing(ByteBuffer.allocate(0))); }

        /** Closes the socket if it is not closed, and returns true. */
        boolean close() {
            ended.complete("closed");
            if (socket != null) socket.sendClose(WebSocket.NORMAL_CLOSURE, "").orTimeout(1, TimeUnit.SECONDS).handle((done, error) -> done).join();
            return true;
        }

        @Override public CompletionStage<?> onText(WebSocket from, CharSequence part, boolean last) {
            socket = from; // open may not have returned yet
            frame.append(part);
            if (last) take(frame.toString());
            if (last) frame.setLength(0);
            return WebSocket.Listener.super.onText(from, part, last); // asks for the next one
        }

        @Override public CompletionStage<?> onClose(WebSocket from, int code, String why) {
            ended.complete(code + " " + why);
            return null;
        }

        @Override public void onError(WebSocket from, Throwable error) { ended.complete(error.toString()); }
    }

    /** The two Avro records in one, as far as they are used here. */
    record Message(String clientId, byte[] correlationData, String topic, String payload) {
        byte[] encode() {
            var out = new ByteArrayOutputStream();
            optional(out, clientId == null ? null : clientId.getBytes(UTF_8));
            optional(out, "application/json".getBytes(UTF_8)); // contentType
            optional(out, correlationData);
            out.writeBytes(new byte[6]); // dupFlag false, messageId 0, no payloadFormatIndicator, responseTopic, topic, userProperties
            bytes(out, payload.getBytes(UTF_8));
            return out.toByteArray();
        }

        static Message decode(byte[] record) {
            ByteBuffer in = ByteBuffer.wrap(record);
            byte[] clientId = optional(in), contentType = optional(in), correlationData = optional(in);
            in.get(); // dupFlag
            number(in); // messageId
            if (number(in) == 1) number(in); // payloadFormatIndicator
            byte[] responseTopic = optional(in), topic = optional(in);
            if (number(in) == 1) for (long n; (n = number(in)) != 0; ) for (n *= 2; n > 0; n--) bytes(in); // userProperties
            return new Message(clientId == null ? null : new String(clientId, UTF_8), correlationData, new String(topic, UTF_8), new String(bytes(in), UTF_8));
        }

        /** Zigzag, then seven bits a byte, the lowest first. */
        static void number(ByteArrayOutputStream out, long n) {
            for (n = n << 1 ^ n >> 63; n >>> 7 != 0; n >>>= 7) out.write((int) (n & 0x7F | 0x80));
            out.write((int) n);
        }

        static long number(ByteBuffer in) {
            long bits = 0;
            for (int shift = 0, next = -1; next < 0; shift += 7) bits |= ((next = in.get()) & 0x7FL) << shift;
            return bits >>> 1 ^ -(bits & 1);
        }

        static void bytes(ByteArrayOutputStream out, byte[] value) {
            number(out, value.length);
            out.writeBytes(value);
        }

        static byte[] bytes(ByteBuffer in) {
            byte[] value = new byte[(int) number(in)];
            in.get(value);
            return value;
        }

        static byte[] optional(ByteBuffer in) { return number(in) == 1 ? bytes(in) : null; } // of a union with null

        static void optional(ByteArrayOutputStream out, byte[] value) {
            number(out, value == null ? 0 : 1);
            if (value != null) bytes(out, value);
        }
    }

    static <T> T await(CompletableFuture<T> future) throws IOException {
        try {
            return future.join();
        } catch (CompletionException e) {
            Throwable why = e.getCause();
            while (why.getCause() != null) why = why.getCause();
            throw new IOException(e.getCause() + ", " + why, e);
        }
    }

    static String quote(String s) {
        return s == null ? "null" : '"' + SPECIAL.matcher(s).replaceAll(c -> "\\\\u%04x".formatted((int) c.group().charAt(0))) + '"';
    }

    /** The name of the reason in a refusal. */
    static String code(IOException e) { return e.getMessage().replaceFirst("(?s).*\"error\":\\{\"code\":\"(\\w+)\".*", "$1"); }

    static void say(String what) { System.err.println("mapper-java: " + what); }
}
