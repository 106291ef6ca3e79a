package com.weirmq.sdk;

import java.util.Map;

/** What the server refuses, in a frame or a body: {@code {"seq":7,"error":{"code":"…","message":"…"}}}. */
final class ErrorFrame {
    /** The number of the publish that is refused; -1: the error is about none. */
    final long seq;

    final String code;
    final String message;

    private ErrorFrame(long seq, String code, String message) {
        this.seq = seq;
        this.code = code;
        this.message = message;
    }

    /** Tells an error from the other frames, of which none begins like this. */
    static boolean is(String frame) {
        return frame.startsWith("{");
    }

    /**
     * Reads an error.
     *
     * @throws IllegalArgumentException for anything else
     */
    static ErrorFrame parse(String frame) {
        Map<?, ?> object = Json.object(frame);
        Object error = object.get("error");
        if (!(error instanceof Map)) {
            throw new IllegalArgumentException("no error in it");
        }
        Object code = ((Map<?, ?>) error).get("code");
        Object message = ((Map<?, ?>) error).get("message");
        if (!(code instanceof String)) {
            throw new IllegalArgumentException("an error without code");
        }
        Object seq = object.get("seq");
        return new ErrorFrame(
                seq instanceof Double ? ((Double) seq).longValue() : -1,
                (String) code,
                message instanceof String ? (String) message : "");
    }

    MqttServiceException exception() {
        return new MqttServiceException(code, message, null);
    }
}
