package com.weirmq.sdk;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class SubscriberTest {
    private final Recorder recorder = new Recorder();
    private final Settings.Limits limits = new Settings.Limits();
    private final BlockingQueue<String> received = new LinkedBlockingQueue<>();
    private final CountDownLatch release = new CountDownLatch(1);
    private TestServer server;
    private MqttServiceApi api;

    @BeforeEach
    void start() throws IOException {
        server = new TestServer();
        api = server.api().limits(limits).build();
    }

    @AfterEach
    void stop() throws IOException {
        release.countDown();
        api.close();
        server.close();
    }

    @Test
    void acknowledgesInOrderWhenTheListenerHasReturned() throws Exception {
        subscriber().subscribe(this::waitAtFirst);
        TestPeer peer = server.peer();
        peer.deliver("7.1", "first");
        peer.deliver("7.2", "second");
        peer.deliver("7.3", "third");
        assertEquals("first", take());
        peer.ping();
        assertFalse(peer.hasText(), "acknowledged too early");
        release.countDown();
        assertEquals("7.1", peer.text());
        assertEquals("7.2", peer.text());
        assertEquals("7.3", peer.text());
    }

    @Test
    void asksForATokenWithWhatIsConfigured() throws Exception {
        CompletableFuture<Void> connected = api.buildSubscriber(SubscriberConfig.subscriberConfig()
                        .topic("sensors/+/\"temp\"").subscriber("averages")
                        .shared(true).nonPersistent(true).expiresInMinutes(5).build())
                .subscribe(message -> {});
        assertEquals("{\"subscriber\":\"averages\",\"subscription\":\"sensors/+/\\\"temp\\\"\",\"type\":\"mqtt\","
                + "\"signed\":true,\"expiresInMinutes\":5,\"shared\":true,\"nonPersistent\":true}",
                server.tokenRequest().body);
        assertEquals("GET /notification2/consumer/?token=token-1 HTTP/1.1", server.upgrade().line);
        connected.get(TestServer.PATIENCE_SECONDS, TimeUnit.SECONDS);
    }

    @Test
    void withoutHeaderNoAcknowledgementIsWanted() throws Exception {
        subscriber().subscribe(this::note);
        TestPeer peer = server.peer();
        peer.send(TestPeer.encoded("bare"));
        peer.deliver("", "empty");
        peer.deliver("3", "third");
        assertEquals("bare", take());
        assertEquals("empty", take());
        assertEquals("third", take());
        assertEquals("3", peer.text());
    }

    @Test
    void whatTheListenerThrowsAtIsNotAcknowledged() throws Exception {
        RuntimeException thrown = new IllegalStateException("on purpose");
        subscriber().subscribe(message -> {
            note(message);
            if (text(message).equals("bad")) {
                throw thrown;
            }
            if (text(message).equals("worse")) {
                throw new StackOverflowError("on purpose");
            }
        });
        TestPeer peer = server.peer();
        peer.deliver("1", "bad");
        peer.deliver("2", "worse");
        peer.deliver("3", "good");
        assertEquals("3", peer.text());
        assertSame(thrown, recorder.error());
        assertInstanceOf(StackOverflowError.class, recorder.error());
    }

    @Test
    void whatIsNoMessageIsReportedAndNotAcknowledged() throws Exception {
        subscriber().subscribe(this::note);
        TestPeer peer = server.peer();
        peer.send("1\n!not base64!");
        peer.send("2\nAAAA");
        peer.send("{\"error\":{\"code\":\"unknown_ack\",\"message\":\"0\"}}");
        peer.send("{neither");
        peer.deliver("3", "good");
        assertEquals("3", peer.text());
        assertEquals("good", take());
        List<String> codes = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            codes.add(recorder.errorCode());
        }
        Collections.sort(codes);
        assertEquals(List.of("malformed_message", "malformed_message", "malformed_message", "unknown_ack"),
                codes);
    }

    @Test
    void messageInSeveralFramesIsJoined() throws Exception {
        subscriber().subscribe(this::note);
        TestPeer peer = server.peer();
        String large = "0123456789".repeat(20_000);
        peer.sendSplit("1\n" + TestPeer.encoded(large), 10_007);
        peer.deliver("2", large);
        assertEquals(large, take());
        assertEquals(large, take());
        assertEquals("1", peer.text());
        assertEquals("2", peer.text());
    }

    @Test
    void messageThatIsTooLargeIsPassedOver() throws Exception {
        limits.frame = 50_000;
        subscriber().subscribe(this::note);
        TestPeer peer = server.peer();
        peer.sendSplit("1\n" + TestPeer.encoded("x".repeat(200_000)), 10_007);
        peer.deliver("2", "x".repeat(200_000));
        peer.deliver("3", "small");
        assertEquals("small", take());
        assertEquals("3", peer.text());
        assertEquals(MqttServiceException.MESSAGE_TOO_LARGE, recorder.errorCode());
        assertEquals(MqttServiceException.MESSAGE_TOO_LARGE, recorder.errorCode());
    }

    @Test
    void whatAnotherConnectionBroughtIsNeitherDeliveredNorAcknowledged() throws Exception {
        subscriber().subscribe(this::waitAtFirst);
        TestPeer peer = server.peer();
        peer.deliver("1.1", "first");
        peer.deliver("1.2", "second");
        assertEquals("first", take());
        peer.ping();
        peer.cut();
        TestPeer next = server.peer();
        next.deliver("2.1", "first");
        next.deliver("2.2", "second");
        next.ping();
        release.countDown();
        assertEquals("first", take());
        assertEquals("second", take());
        assertEquals("2.1", next.text());
        assertEquals("2.2", next.text());
    }

    @Test
    void secondExclusiveConsumerIsToldAndTriesAgain() throws Exception {
        server.refuseWithoutReason();
        server.refuseUpgrades(409, 409);
        CompletableFuture<Void> connected = subscriber().subscribe(this::note);
        server.peer();
        connected.get(TestServer.PATIENCE_SECONDS, TimeUnit.SECONDS);
        MqttServiceException refusal = (MqttServiceException) recorder.error();
        assertEquals(MqttServiceException.SUBSCRIBER_IN_USE, refusal.getCode());
        assertEquals(409, refusal.getStatus());
        assertEquals("the server answered with HTTP status 409", refusal.getReason());
        assertEquals(MqttServiceException.SUBSCRIBER_IN_USE, recorder.errorCode());
        assertEquals(1, server.tokensMade(), "the token was not at fault");
    }

    @Test
    void readingStopsWhileTheListenerIsBehind() throws Exception {
        limits.heldMessages = 2;
        subscriber().subscribe(this::waitAtFirst);
        TestPeer peer = server.peer();
        peer.deliver("1", "first");
        peer.ping();
        peer.deliver("2", "second");
        assertFalse(peer.pongsWithin(200), "it reads on");
        for (int i = 3; i <= 20; i++) {
            peer.deliver("" + i, "more");
        }
        release.countDown();
        for (int i = 1; i <= 20; i++) {
            assertEquals("" + i, peer.text());
        }
        assertTrue(peer.pongsWithin(20_000));
    }

    @Test
    void readingStopsForLargeMessagesToo() throws Exception {
        limits.heldSize = 1000;
        subscriber().subscribe(this::waitAtFirst);
        TestPeer peer = server.peer();
        peer.deliver("1", "x".repeat(1000));
        peer.deliver("2", "second");
        assertFalse(peer.pongsWithin(200), "it reads on");
        release.countDown();
        assertEquals("1", peer.text());
        assertEquals("2", peer.text());
    }

    @Test
    void pausedReaderMissesNoPongs() throws Exception {
        limits.heldMessages = 1;
        limits.ping = Duration.ofMillis(20);
        limits.pong = Duration.ofMillis(40);
        subscriber().subscribe(this::waitAtFirst);
        TestPeer peer = server.peer();
        peer.deliver("1", "first");
        assertEquals("first", take());
        assertFalse(peer.pongsWithin(200), "it reads on");
        release.countDown();
        assertEquals("1", peer.text());
        peer.deliver("2", "second");
        assertEquals("2", peer.text(), "the connection is still the same");
    }

    @Test
    void connectionWithoutPongsIsReplaced() throws Exception {
        limits.ping = Duration.ofMillis(50);
        limits.pong = Duration.ofMillis(100);
        subscriber().subscribe(this::note);
        TestPeer peer = server.peer();
        recorder.awaitConnected();
        peer.deafen();
        assertTrue(recorder.disconnection().getReason().startsWith("nothing came for"));
        peer = server.peer();
        peer.deliver("1", "first");
        assertEquals("1", peer.text());
    }

    @Test
    void reconnectBringsTheUnacknowledgedBack() throws Exception {
        MqttSubscriber subscriber = subscriber();
        assertThrows(IllegalStateException.class, subscriber::reconnect);
        subscriber.subscribe(this::note);
        recorder.awaitConnected();
        server.peer();
        subscriber.reconnect();
        assertEquals("asked to connect again", recorder.disconnection().getReason());
        TestPeer peer = server.peer();
        peer.deliver("1", "first");
        assertEquals("1", peer.text());
    }

    @Test
    void closeAcknowledgesWhatTheListenerIsAt() throws Exception {
        MqttSubscriber subscriber = subscriber();
        subscriber.subscribe(this::waitAtFirst);
        TestPeer peer = server.peer();
        peer.deliver("1", "first");
        peer.deliver("2", "second");
        assertEquals("first", take());
        CompletableFuture<Void> closes = CompletableFuture.runAsync(subscriber::close);
        release.countDown();
        assertEquals("1", peer.text());
        // The second one is acknowledged too if the listener was done with it before close began.
        assertEquals(1000, peer.closeCode());
        closes.get(TestServer.PATIENCE_SECONDS, TimeUnit.SECONDS);
        subscriber.close();
    }

    @Test
    void listenerMayClose() throws Exception {
        MqttSubscriber subscriber = subscriber();
        subscriber.subscribe(message -> {
            subscriber.close();
            note(message);
        });
        TestPeer peer = server.peer();
        peer.deliver("1", "first");
        assertEquals(1000, peer.closeCode());
        assertEquals("first", take());
    }

    @Test
    void closeBeforeTheConnection() throws Exception {
        api = server.api().reconnect(ReconnectPolicy.exponential(Duration.ofHours(1), Duration.ofHours(1))).build();
        server.refuseUpgrades(503);
        MqttSubscriber subscriber = subscriber();
        CompletableFuture<Void> connected = subscriber.subscribe(this::note);
        recorder.error();
        subscriber.close();
        ExecutionException failure = assertThrows(ExecutionException.class,
                () -> connected.get(TestServer.PATIENCE_SECONDS, TimeUnit.SECONDS));
        assertEquals(MqttServiceException.CLOSED, ((MqttServiceException) failure.getCause()).getCode());
    }

    @Test
    void unsubscribeClosesAndTellsTheServer() throws Exception {
        MqttSubscriber subscriber = subscriber();
        subscriber.subscribe(this::note).get(TestServer.PATIENCE_SECONDS, TimeUnit.SECONDS);
        TestPeer peer = server.peer();
        subscriber.unsubscribe();
        assertEquals(1000, peer.closeCode());
        TestServer.Request request = server.unsubscribe();
        assertEquals("POST /notification2/unsubscribe?token=token-1 HTTP/1.1", request.line);
        assertEquals("", request.body);
    }

    @Test
    void unsubscribeGetsAnotherTokenWhereTheFirstIsRefused() throws Exception {
        MqttSubscriber subscriber = subscriber();
        subscriber.subscribe(this::note);
        server.peer();
        server.refuseUnsubscribes(401);
        subscriber.unsubscribe();
        assertEquals("token-1", server.unsubscribe().token());
        assertEquals("token-2", server.unsubscribe().token());
        server.refuseUnsubscribes(503);
        assertEquals(503, assertThrows(MqttServiceException.class, subscriber::unsubscribe).getStatus());
    }

    @Test
    void subscribesOnce() {
        MqttSubscriber subscriber = subscriber();
        subscriber.subscribe(this::note);
        assertThrows(IllegalStateException.class, () -> subscriber.subscribe(this::note));
    }

    @Test
    void configurationIsChecked() {
        SubscriberConfig.Builder config = SubscriberConfig.subscriberConfig();
        assertThrows(IllegalArgumentException.class, config::build);
        config.topic("a");
        assertThrows(IllegalArgumentException.class, config::build);
        config.subscriber(" ");
        assertThrows(IllegalArgumentException.class, config::build);
        config.subscriber("s").expiresInMinutes(0);
        assertThrows(IllegalArgumentException.class, config::build);
        assertThrows(IllegalArgumentException.class, () -> MqttServiceApi.webSocket().url("http://a").build());
        assertThrows(IllegalArgumentException.class, () -> MqttServiceApi.webSocket().url("ws://a").build());
        assertThrows(IllegalArgumentException.class, () -> TokenApi.basic("ws://a", "u", "p"));
    }

    private MqttSubscriber subscriber() {
        return api.buildSubscriber(SubscriberConfig.subscriberConfig()
                .topic("sensors/room 1").subscriber("averages").connectionListener(recorder).build());
    }

    private void note(MqttServiceMessage message) {
        received.add(text(message));
    }

    private void waitAtFirst(MqttServiceMessage message) throws InterruptedException {
        note(message);
        release.await();
    }

    private String take() throws InterruptedException {
        return TestServer.take(received, "message");
    }

    private static String text(MqttServiceMessage message) {
        return new String(message.getPayload(), StandardCharsets.UTF_8);
    }
}
