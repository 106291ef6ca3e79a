package com.weirmq.sdk;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class PublisherTest {
    private static final Duration PATIENCE = Duration.ofSeconds(TestServer.PATIENCE_SECONDS);

    private final Recorder recorder = new Recorder();
    private final Settings.Limits limits = new Settings.Limits();
    private TestServer server;
    private MqttServiceApi api;

    @BeforeEach
    void start() throws IOException {
        server = new TestServer();
        // Nobody answers what a test leaves behind.
        limits.close = Duration.ofMillis(200);
        api = server.api().limits(limits).build();
    }

    @AfterEach
    void stop() throws IOException {
        api.close();
        server.close();
    }

    @Test
    void completesWhenAnswered() throws Exception {
        MqttPublisher publisher = publisher();
        CompletableFuture<Void> first = publisher.publish(message("one"));
        CompletableFuture<Void> second = publisher.publish(message("two"));
        TestPeer peer = server.peer();
        assertEquals("1\n" + TestPeer.encoded("one"), peer.text());
        assertEquals("2\n" + TestPeer.encoded("two"), peer.text());
        assertFalse(first.isDone());
        peer.send("1");
        await(first);
        assertFalse(second.isDone());
        peer.send("2");
        await(second);
    }

    @Test
    void asksForATokenOfTheTopic() throws Exception {
        publisher();
        TestServer.Request asked = server.tokenRequest();
        assertEquals("{\"subscriber\":\"mqttServicePublisher\",\"subscription\":\"sensors/room 1\",\"type\":\"mqtt\","
                + "\"signed\":true,\"expiresInMinutes\":1440,\"shared\":false,\"nonPersistent\":false}", asked.body);
        assertEquals("Basic YWNtZS9tYXBwZXI6czNjcmV0", asked.headers.get("authorization"));
        TestServer.Request upgrade = server.upgrade();
        assertEquals("GET /notification2/producer/?token=token-1 HTTP/1.1", upgrade.line);
        assertFalse(upgrade.headers.containsKey("sec-websocket-protocol"));
    }

    @Test
    void refusedPublishFailsAlone() throws Exception {
        MqttPublisher publisher = publisher();
        CompletableFuture<Void> first = publisher.publish(message("one"));
        CompletableFuture<Void> second = publisher.publish(message("two"));
        TestPeer peer = server.peer();
        peer.send("{\"seq\":1,\"error\":{\"code\":\"backlog_full\",\"message\":\"sensors/room 1: no room\"}}");
        peer.send("2");
        MqttServiceException refusal = failure(first);
        assertEquals("backlog_full", refusal.getCode());
        assertEquals("sensors/room 1: no room", refusal.getReason());
        await(second);
    }

    @Test
    void errorAboutNoPublishGoesToTheListener() throws Exception {
        MqttPublisher publisher = publisher();
        TestPeer peer = server.peer();
        peer.send("{\"error\":{\"code\":\"protocol_error\",\"message\":\"binary frame\"}}");
        assertEquals("protocol_error", recorder.errorCode());
        peer.send("what is this?");
        assertEquals(MqttServiceException.MALFORMED_MESSAGE, recorder.errorCode());
        CompletableFuture<Void> stored = publisher.publish(message("one"));
        peer.send("1");
        await(stored);
    }

    @Test
    void publishAndWaitReturnsOrThrows() throws Exception {
        MqttPublisher publisher = publisher();
        TestPeer peer = server.peer();
        CompletableFuture<Void> waits =
                CompletableFuture.runAsync(() -> publisher.publishAndWait(message("one"), PATIENCE));
        peer.text();
        peer.send("1");
        await(waits);

        waits = CompletableFuture.runAsync(() -> publisher.publishAndWait(message("two"), PATIENCE));
        peer.text();
        peer.send("{\"seq\":2,\"error\":{\"code\":\"backlog_full\",\"message\":\"no room\"}}");
        assertEquals("backlog_full", failure(waits).getCode());

        MqttServiceException late = assertThrows(MqttServiceException.class,
                () -> publisher.publishAndWait(message("three"), Duration.ofMillis(1)));
        assertEquals(MqttServiceException.TIMEOUT, late.getCode());
    }

    @Test
    void unansweredIsSentAgainInOrder() throws Exception {
        MqttPublisher publisher = publisher();
        CompletableFuture<Void> first = publisher.publish(message("one"));
        CompletableFuture<Void> second = publisher.publish(message("two"));
        CompletableFuture<Void> third = publisher.publish(message("three"));
        TestPeer peer = server.peer();
        peer.text();
        peer.text();
        peer.text();
        peer.send("2");
        await(second);
        peer.cut();
        assertEquals(MqttServiceException.CONNECTION_LOST, recorder.disconnection().getCode());

        CompletableFuture<Void> fourth = publisher.publish(message("four"));
        peer = server.peer();
        assertEquals("1\n" + TestPeer.encoded("one"), peer.text());
        assertEquals("3\n" + TestPeer.encoded("three"), peer.text());
        assertEquals("4\n" + TestPeer.encoded("four"), peer.text());
        peer.send("1");
        peer.send("3");
        peer.send("4");
        await(first);
        await(third);
        await(fourth);
        assertEquals(1, server.tokensMade(), "the token is still good");
    }

    @Test
    void manyBreaksLoseNothingAndKeepTheOrder() throws Exception {
        MqttPublisher publisher = publisher();
        List<CompletableFuture<Void>> published = new ArrayList<>();
        for (int i = 1; i <= 200; i++) {
            published.add(publisher.publish(message("" + i)));
        }
        int stored = 0;
        while (stored < 200) {
            TestPeer peer = server.peer();
            // Ten are stored on each connection, and half of the answers get lost.
            int first = Integer.parseInt(peer.text().split("\n")[0]);
            assertEquals(stored == 0 ? 1 : stored - 4, first);
            for (int seq = first + 1; seq < first + 10; seq++) {
                assertEquals(seq + "\n" + TestPeer.encoded("" + seq), peer.text());
            }
            stored = first + 9;
            for (int seq = first; seq < first + 5; seq++) {
                peer.send("" + seq);
                await(published.get(seq - 1));
            }
            peer.cut();
        }
        TestPeer last = server.peer();
        for (int seq = 196; seq <= 200; seq++) {
            last.send("" + seq);
        }
        for (CompletableFuture<Void> one : published) {
            await(one);
        }
    }

    @Test
    void windowIsBounded() throws Exception {
        MqttPublisher publisher = api.buildPublisher(PublisherConfig.publisherConfig()
                .topic("sensors/room 1").windowMessages(2).build());
        CompletableFuture<Void> first = publisher.publish(message("one"));
        CompletableFuture<Void> second = publisher.publish(message("two"));
        assertEquals(MqttServiceException.WINDOW_FULL, failure(publisher.publish(message("three"))).getCode());
        CompletableFuture<Void> waits =
                CompletableFuture.runAsync(() -> publisher.publishAndWait(message("four"), PATIENCE));
        TestPeer peer = server.peer();
        peer.text();
        peer.text();
        peer.send("1");
        await(first);
        assertEquals("3\n" + TestPeer.encoded("four"), peer.text());
        peer.send("2");
        peer.send("3");
        await(second);
        await(waits);
    }

    @Test
    void windowIsBoundedInBytesToo() throws Exception {
        MqttPublisher publisher = api.buildPublisher(PublisherConfig.publisherConfig()
                .topic("sensors/room 1").windowBytes(100).build());
        CompletableFuture<Void> alone = publisher.publish(message("x".repeat(1000)));
        assertEquals(MqttServiceException.WINDOW_FULL, failure(publisher.publish(message("two"))).getCode());
        server.peer().send("1");
        await(alone);
    }

    @Test
    void cancelledPublishIsTakenBack() throws Exception {
        server.refuseUpgrades(503);
        MqttPublisher publisher = api.buildPublisher(PublisherConfig.publisherConfig()
                .topic("sensors/room 1").windowMessages(1).build());
        publisher.publish(message("one")).cancel(false);
        CompletableFuture<Void> second = publisher.publish(message("two"));
        TestPeer peer = server.peer();
        String sent = peer.text();
        if (sent.startsWith("1\n")) {
            // The connection was faster than the cancelling.
            sent = peer.text();
        }
        assertEquals("2\n" + TestPeer.encoded("two"), sent);
        peer.send("2");
        await(second);
    }

    @Test
    void withoutReconnectingEverythingFailsUntilAsked() throws Exception {
        try (MqttServiceApi once = server.api().limits(limits).reconnect(ReconnectPolicy.off()).build()) {
            MqttPublisher publisher = once.buildPublisher(PublisherConfig.publisherConfig()
                    .topic("sensors/room 1").connectionListener(recorder).build());
            CompletableFuture<Void> first = publisher.publish(message("one"));
            TestPeer peer = server.peer();
            peer.text();
            peer.close(1011, "on purpose");
            assertEquals(MqttServiceException.CONNECTION_LOST, failure(first).getCode());
            assertTrue(recorder.disconnection().getReason().contains("1011) on purpose"));
            assertEquals(MqttServiceException.CONNECTION_LOST, failure(publisher.publish(message("two"))).getCode());

            publisher.reconnect();
            CompletableFuture<Void> third = publisher.publish(message("three"));
            peer = server.peer();
            assertEquals("2\n" + TestPeer.encoded("three"), peer.text(), "numbers go on");
            peer.send("2");
            await(third);
        }
    }

    @Test
    void closeFailsWhatHasNoAnswer() throws Exception {
        MqttPublisher publisher = publisher();
        CompletableFuture<Void> unanswered = publisher.publish(message("one"));
        TestPeer peer = server.peer();
        peer.text();
        publisher.close();
        assertEquals(1000, peer.closeCode());
        assertEquals(MqttServiceException.CLOSED, failure(unanswered).getCode());
        assertEquals(MqttServiceException.CLOSED, failure(publisher.publish(message("two"))).getCode());
        publisher.reconnect();
        assertEquals(MqttServiceException.CLOSED, failure(publisher.publish(message("three"))).getCode());
    }

    @Test
    void closeWaitsForAnswers() throws Exception {
        limits.close = PATIENCE;
        MqttPublisher publisher = publisher();
        CompletableFuture<Void> stored = publisher.publish(message("one"));
        CompletableFuture<Void> closes = CompletableFuture.runAsync(publisher::close);
        TestPeer peer = server.peer();
        peer.text();
        assertFalse(closes.isDone());
        peer.send("1");
        await(stored);
        assertEquals(1000, peer.closeCode());
        await(closes);
    }

    private MqttPublisher publisher() {
        return api.buildPublisher(PublisherConfig.publisherConfig()
                .topic("sensors/room 1").connectionListener(recorder).build());
    }

    private static MqttServiceMessage message(String payload) {
        return MqttServiceMessage.builder().payload(payload.getBytes(StandardCharsets.UTF_8)).build();
    }

    private static void await(CompletableFuture<Void> future)
            throws InterruptedException, ExecutionException, TimeoutException {
        future.get(TestServer.PATIENCE_SECONDS, TimeUnit.SECONDS);
    }

    private static MqttServiceException failure(CompletableFuture<Void> future) {
        ExecutionException failure = assertThrows(ExecutionException.class, () -> await(future));
        return assertInstanceOf(MqttServiceException.class, failure.getCause());
    }
}
