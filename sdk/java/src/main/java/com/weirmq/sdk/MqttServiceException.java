package com.weirmq.sdk;

/**
 * Why something failed: a code for programs and a message for people.
 *
 * <p>What the server refuses has the server's code, {@code backlog_full} for example, of the list in Weir's
 * documentation. The codes that this library adds are the constants of this class.
 */
public class MqttServiceException extends RuntimeException {
    /** The server takes neither the token nor, after asking for a new one, the next (HTTP 401). */
    public static final String UNAUTHORIZED = "unauthorized";

    /** The user may not do this (HTTP 403). */
    public static final String FORBIDDEN = "forbidden";

    /** Another connection receives as this subscriber, which is not a shared one (HTTP 409). */
    public static final String CONSUMER_ALREADY_CONNECTED = "consumer_already_connected";

    /** The server answered with another HTTP status; {@link #getStatus} has it. */
    public static final String UNEXPECTED_STATUS = "unexpected_status";

    /** No connection to the server could be made. */
    public static final String CONNECTION_FAILED = "connection_failed";

    /** The connection broke, or the server closed it. */
    public static final String CONNECTION_LOST = "connection_lost";

    /** The token API failed in a way of its own; the cause tells. */
    public static final String TOKEN_FAILED = "token_failed";

    /** As many publishes as the window takes wait for their answer. */
    public static final String WINDOW_FULL = "window_full";

    /** There was no answer in time. Whether the message was stored is unknown. */
    public static final String TIMEOUT = "timeout";

    /** The thread that waited for an answer was interrupted. Whether the message was stored is unknown. */
    public static final String INTERRUPTED = "interrupted";

    /** The publisher or subscriber was closed. */
    public static final String CLOSED = "closed";

    /** What the server sent is not a message of this protocol. */
    public static final String MALFORMED_MESSAGE = "malformed_message";

    /** What the server sent is larger than this library takes. */
    public static final String MESSAGE_TOO_LARGE = "message_too_large";

    private static final long serialVersionUID = 1;

    /** Why, for programs. */
    private final String code;
    /** Why, for people. */
    private final String reason;
    /** HTTP status; 0: none. */
    private final int status;

    /**
     * Makes an exception without an HTTP status.
     *
     * @param code why, for programs
     * @param message why, for people
     * @param cause null: none
     */
    public MqttServiceException(String code, String message, Throwable cause) {
        this(code, message, 0, cause);
    }

    /**
     * Makes an exception.
     *
     * @param code why, for programs
     * @param message why, for people
     * @param status the HTTP status; 0: none
     * @param cause null: none
     */
    public MqttServiceException(String code, String message, int status, Throwable cause) {
        super(code + ": " + message, cause);
        this.code = code;
        this.reason = message;
        this.status = status;
    }

    /**
     * Why, for programs.
     *
     * @return a constant of this class, or a reason of the server
     */
    public String getCode() {
        return code;
    }

    /**
     * Why, for people: the message without the code.
     *
     * @return never null
     */
    public String getReason() {
        return reason;
    }

    /**
     * The HTTP status with which the server refused a token or a connection.
     *
     * @return 0 where there was none
     */
    public int getStatus() {
        return status;
    }

    /** Names an HTTP status that is not a success. */
    static MqttServiceException ofStatus(int status, String message, Throwable cause) {
        String code;
        switch (status) {
            case 401:
                code = UNAUTHORIZED;
                break;
            case 403:
                code = FORBIDDEN;
                break;
            case 409:
                code = CONSUMER_ALREADY_CONNECTED;
                break;
            default:
                code = UNEXPECTED_STATUS;
        }
        return new MqttServiceException(code, message, status, cause);
    }

    /** The same for another caller, whose stack trace it has. */
    MqttServiceException again() {
        return new MqttServiceException(code, reason, status, this);
    }

    /** Tells whether the server said no for a reason that is the client's, and that waiting does not mend. */
    boolean isFinal() {
        return status >= 400 && status < 500 && status != 408 && status != 409 && status != 425 && status != 429;
    }
}
