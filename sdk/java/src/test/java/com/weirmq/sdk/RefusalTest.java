package com.weirmq.sdk;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Tokens and connections that the server refuses, and those that cannot be had at all. */
@Timeout(60)
class RefusalTest {
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
    void tokenThatIsRefusedIsReplaced() throws Exception {
        publisher();
        TestPeer peer = server.peer();
        recorder.awaitConnected();
        assertEquals("token-1", server.upgrade().token());
        server.refuseUpgrades(401);
        peer.cut();
        server.peer();
        assertEquals("token-1", server.upgrade().token());
        assertEquals("token-2", server.upgrade().token());
    }

    @Test
    void firstTokenThatIsRefusedEndsIt() throws Exception {
        server.refuseUpgrades(401);
        MqttPublisher publisher = publisher();
        MqttServiceException refusal = failure(publisher.publish(message("one")));
        assertEquals("no_401", refusal.getCode());
        assertEquals("said the test", refusal.getReason());
        assertEquals(401, refusal.getStatus());
        assertEquals(1, server.tokensMade());
    }

    @Test
    void wrongPasswordEndsIt() throws Exception {
        server.refuseTokens(401);
        MqttPublisher publisher = publisher();
        MqttServiceException refusal = failure(publisher.publish(message("one")));
        assertEquals("no_401", refusal.getCode());
        assertEquals(401, refusal.getStatus());
        assertEquals("no_401", recorder.errorCode());

        publisher.reconnect();
        CompletableFuture<Void> stored = publisher.publish(message("two"));
        TestPeer peer = server.peer();
        peer.send(peer.text().split("\n")[0]);
        await(stored);
    }

    @Test
    void refusalsThatMayPassAreTriedAgain() throws Exception {
        server.refuseTokens(503, 429);
        server.refuseUpgrades(500, 503);
        MqttPublisher publisher = publisher();
        CompletableFuture<Void> stored = publisher.publish(message("one"));
        server.peer().send("1");
        await(stored);
        assertEquals("no_503", recorder.errorCode());
        assertEquals("no_429", recorder.errorCode());
        assertEquals("no_500", recorder.errorCode());
        assertEquals("no_503", recorder.errorCode());
    }

    @Test
    void refusalWithoutReasonIsNamedByItsStatus() throws Exception {
        server.refuseWithoutReason();
        server.refuseTokens(502);
        server.refuseUpgrades(502, 403);
        MqttPublisher publisher = publisher();
        assertEquals(MqttServiceException.FORBIDDEN, failure(publisher.publish(message("one"))).getCode());
        assertEquals(MqttServiceException.UNEXPECTED_STATUS, recorder.errorCode());
        assertEquals(MqttServiceException.UNEXPECTED_STATUS, recorder.errorCode());
        server.refuseTokens(401);
        server.refuseUpgrades(401);
        publisher.reconnect();
        assertEquals(MqttServiceException.FORBIDDEN, recorder.errorCode());
        assertEquals(MqttServiceException.UNAUTHORIZED, recorder.errorCode());
    }

    @Test
    void refusalAfterAConnectionIsTriedAgain() throws Exception {
        publisher();
        TestPeer peer = server.peer();
        recorder.awaitConnected();
        server.refuseUpgrades(403);
        peer.cut();
        server.peer();
        assertEquals("no_403", recorder.errorCode());
    }

    @Test
    void serverThatIsNotThereIsTriedAgain() throws Exception {
        String http = server.http();
        server.close();
        try (MqttServiceApi nobody = MqttServiceApi.webSocket()
                .url(server.ws())
                .tokenApi(TokenApi.basic(http, "acme/mapper", "s3cret"))
                .reconnect(ReconnectPolicy.exponential(Duration.ofMillis(1), Duration.ofMillis(1)))
                .limits(limits)
                .build()) {
            nobody.buildPublisher(PublisherConfig.publisherConfig()
                    .topic("sensors/room 1").connectionListener(recorder).build());
            assertEquals(MqttServiceException.CONNECTION_FAILED, recorder.errorCode());
            assertEquals(MqttServiceException.CONNECTION_FAILED, recorder.errorCode());
        }
    }

    @Test
    void tokenApiThatFailsInItsOwnWay() throws Exception {
        TokenApi broken = new TokenApi() {
            @Override
            public String create(TokenRequest request) {
                throw new IllegalStateException("on purpose");
            }

            @Override
            public void unsubscribe(String token) {
                throw new IllegalStateException("on purpose");
            }
        };
        try (MqttServiceApi failing = server.api().tokenApi(broken).limits(limits).build()) {
            failing.buildPublisher(PublisherConfig.publisherConfig()
                    .topic("sensors/room 1").connectionListener(recorder).build());
            MqttServiceException failure = (MqttServiceException) recorder.error();
            assertEquals(MqttServiceException.TOKEN_FAILED, failure.getCode());
            assertInstanceOf(IllegalStateException.class, failure.getCause());
        }
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
