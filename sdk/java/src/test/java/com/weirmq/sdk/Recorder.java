package com.weirmq.sdk;

import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;

/** Remembers what a connection listener is told. */
final class Recorder implements ConnectionListener {
    private final BlockingQueue<String> connections = new LinkedBlockingQueue<>();
    private final BlockingQueue<MqttServiceException> disconnections = new LinkedBlockingQueue<>();
    private final BlockingQueue<Throwable> errors = new LinkedBlockingQueue<>();

    @Override
    public void onConnected() {
        connections.add("connected");
    }

    @Override
    public void onDisconnected(MqttServiceException cause) {
        disconnections.add(cause);
    }

    @Override
    public void onError(Throwable error) {
        errors.add(error);
    }

    void awaitConnected() throws InterruptedException {
        TestServer.take(connections, "connection");
    }

    MqttServiceException disconnection() throws InterruptedException {
        return TestServer.take(disconnections, "disconnection");
    }

    Throwable error() throws InterruptedException {
        return TestServer.take(errors, "error");
    }

    /** The code of the next error. */
    String errorCode() throws InterruptedException {
        return ((MqttServiceException) error()).getCode();
    }
}
