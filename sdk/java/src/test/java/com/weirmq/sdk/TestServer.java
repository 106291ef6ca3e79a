package com.weirmq.sdk;

import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** A server that does what a test tells it, on plain sockets: tokens and WebSockets, and refusals of both. */
final class TestServer implements AutoCloseable {
    static final long PATIENCE_SECONDS = 20;

    /** One HTTP request. */
    static final class Request {
        final String line;
        final Map<String, String> headers = new HashMap<>();
        String body = "";

        Request(String line) {
            this.line = line;
        }

        String token() {
            return line.replaceFirst(".*token=", "").replaceFirst(" .*", "");
        }
    }

    private final ServerSocket listener;
    private final Queue<java.net.Socket> sockets = new ConcurrentLinkedQueue<>();
    private final AtomicInteger tokensMade = new AtomicInteger();
    private final BlockingQueue<Request> tokenRequests = new LinkedBlockingQueue<>();
    private final BlockingQueue<Request> unsubscribes = new LinkedBlockingQueue<>();
    private final BlockingQueue<Request> upgrades = new LinkedBlockingQueue<>();
    private final BlockingQueue<TestPeer> peers = new LinkedBlockingQueue<>();
    private final Queue<Integer> tokenStatuses = new ConcurrentLinkedQueue<>();
    private final Queue<Integer> upgradeStatuses = new ConcurrentLinkedQueue<>();
    private final Queue<Integer> unsubscribeStatuses = new ConcurrentLinkedQueue<>();

    private volatile String errorBody = "{\"error\":{\"code\":\"no_STATUS\",\"message\":\"said the test\"}}";

    TestServer() throws IOException {
        listener = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
        daemon(this::accept);
    }

    String ws() {
        return "ws://127.0.0.1:" + listener.getLocalPort();
    }

    String http() {
        return "http://127.0.0.1:" + listener.getLocalPort();
    }

    MqttServiceApi.Builder api() {
        return MqttServiceApi.webSocket()
                .url(ws())
                .tokenApi(TokenApi.basic(http(), "acme/mapper", "s3cret"))
                .reconnect(ReconnectPolicy.exponential(
                        Duration.ofMillis(5), Duration.ofMillis(20)));
    }

    /** What the next requests for tokens are answered with, one each; then 200. */
    void refuseTokens(Integer... statuses) {
        tokenStatuses.addAll(List.of(statuses));
    }

    /** What the next upgrades are answered with, one each; then 101. */
    void refuseUpgrades(Integer... statuses) {
        upgradeStatuses.addAll(List.of(statuses));
    }

    /** What the next requests to unsubscribe are answered with, one each; then 200. */
    void refuseUnsubscribes(Integer... statuses) {
        unsubscribeStatuses.addAll(List.of(statuses));
    }

    /** Answers refusals as a proxy would. */
    void refuseWithoutReason() {
        errorBody = "<h1>STATUS</h1>";
    }

    Request tokenRequest() throws InterruptedException {
        return take(tokenRequests, "request for a token");
    }

    int tokensMade() {
        return tokensMade.get();
    }

    Request unsubscribe() throws InterruptedException {
        return take(unsubscribes, "request to unsubscribe");
    }

    Request upgrade() throws InterruptedException {
        return take(upgrades, "upgrade");
    }

    /** The next WebSocket that a client opened. */
    TestPeer peer() throws InterruptedException {
        return take(peers, "connection");
    }

    static <T> T take(BlockingQueue<T> queue, String what) throws InterruptedException {
        T taken = queue.poll(PATIENCE_SECONDS, TimeUnit.SECONDS);
        if (taken == null) {
            throw new AssertionError("no " + what);
        }
        return taken;
    }

    @Override
    public void close() throws IOException {
        listener.close();
        for (java.net.Socket socket : sockets) {
            socket.close();
        }
    }

    private static void daemon(Runnable task) {
        Thread thread = new Thread(task, "test server");
        thread.setDaemon(true);
        thread.start();
    }

    private void accept() {
        try {
            while (true) {
                java.net.Socket socket = listener.accept();
                socket.setTcpNoDelay(true);
                sockets.add(socket);
                daemon(() -> serve(socket));
            }
        } catch (IOException closed) {
            return;
        }
    }

    private void serve(java.net.Socket socket) {
        try (socket) {
            InputStream in = new BufferedInputStream(socket.getInputStream());
            Request request = read(in);
            if (request.line.startsWith("POST /notification2/token ")) {
                Integer status = tokenStatuses.poll();
                tokenRequests.add(request);
                String token = status == null ? "token-" + tokensMade.incrementAndGet() : null;
                answer(socket, status, "{\"token\":\"" + token + "\"}");
            } else if (request.line.startsWith("POST /notification2/unsubscribe?")) {
                unsubscribes.add(request);
                answer(socket, unsubscribeStatuses.poll(), "{\"result\":\"DONE\"}");
            } else if (request.line.matches("GET /notification2/(consumer|producer)/\\?token=\\S+ HTTP/1.1")) {
                Integer status = upgradeStatuses.poll();
                upgrades.add(request);
                if (status != null) {
                    answer(socket, status, null);
                    return;
                }
                TestPeer peer = new TestPeer(socket, in);
                write(socket, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        + "Sec-WebSocket-Accept: " + accept(request.headers.get("sec-websocket-key")) + "\r\n\r\n");
                peers.add(peer);
                peer.read();
            } else {
                answer(socket, 404, null);
            }
        } catch (IOException gone) {
            return;
        }
    }

    /** Answers with a body, or with an error when there is a status. */
    private void answer(java.net.Socket socket, Integer status, String body) throws IOException {
        String text = status == null ? body : errorBody.replace("STATUS", "" + status);
        write(socket, "HTTP/1.1 " + (status == null ? 200 : status) + " Answer\r\nConnection: close\r\n"
                + "Content-Type: application/json\r\nContent-Length: " + text.length() + "\r\n\r\n" + text);
    }

    private static void write(java.net.Socket socket, String text) throws IOException {
        OutputStream out = socket.getOutputStream();
        out.write(text.getBytes(StandardCharsets.ISO_8859_1));
        out.flush();
    }

    private static Request read(InputStream in) throws IOException {
        Request request = new Request(line(in));
        for (String line = line(in); !line.isEmpty(); line = line(in)) {
            int colon = line.indexOf(':');
            request.headers.put(line.substring(0, colon).toLowerCase(Locale.ROOT), line.substring(colon + 1).trim());
        }
        int length = Integer.parseInt(request.headers.getOrDefault("content-length", "0"));
        request.body = new String(in.readNBytes(length), StandardCharsets.UTF_8);
        return request;
    }

    private static String line(InputStream in) throws IOException {
        StringBuilder line = new StringBuilder();
        for (int c = in.read(); c != '\n'; c = in.read()) {
            if (c < 0) {
                throw new IOException("the client has gone");
            }
            line.append((char) c);
        }
        return line.toString().trim();
    }

    private static String accept(String key) {
        try {
            byte[] hash = MessageDigest.getInstance("SHA-1")
                    .digest((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").getBytes(StandardCharsets.US_ASCII));
            return Base64.getEncoder().encodeToString(hash);
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError(e);
        }
    }
}
