package com.weirmq.sdk;

import java.util.Arrays;
import java.util.Objects;

/** One MQTT message: a payload, and what is known about it. Immutable, except that the payload array is not copied. */
public final class MqttServiceMessage {
    // The wire has the fields in alphabetical order, which is also the order that Avro's reflection gives them.
    private final MqttServiceMetadata metadata;
    private final byte[] payload;

    private MqttServiceMessage(Builder builder) {
        metadata = builder.metadata;
        payload = builder.payload;
    }

    /**
     * Starts a message with an empty payload and empty metadata.
     *
     * @return a builder
     */
    public static Builder builder() {
        return new Builder();
    }

    /**
     * The metadata.
     *
     * @return never null
     */
    public MqttServiceMetadata getMetadata() {
        return metadata;
    }

    /**
     * The payload, byte for byte as it was published. The array is not a copy.
     *
     * @return never null
     */
    public byte[] getPayload() {
        return payload;
    }

    @Override
    public boolean equals(Object other) {
        if (!(other instanceof MqttServiceMessage)) {
            return false;
        }
        MqttServiceMessage message = (MqttServiceMessage) other;
        return metadata.equals(message.metadata) && Arrays.equals(payload, message.payload);
    }

    @Override
    public int hashCode() {
        return 31 * metadata.hashCode() + Arrays.hashCode(payload);
    }

    /** Says how long the payload is, not what is in it. */
    @Override
    public String toString() {
        return "MqttServiceMessage{" + metadata + ", payload=" + payload.length + " bytes}";
    }

    /** Builds messages. Not for several threads. */
    public static final class Builder {
        private MqttServiceMetadata metadata = MqttServiceMetadata.EMPTY;
        private byte[] payload = {};

        private Builder() {}

        /**
         * Sets the metadata.
         *
         * @param metadata not null
         * @return this
         */
        public Builder metadata(MqttServiceMetadata metadata) {
            this.metadata = Objects.requireNonNull(metadata, "metadata");
            return this;
        }

        /**
         * Sets the payload. The array is not copied and must not change any more.
         *
         * @param payload not null
         * @return this
         */
        public Builder payload(byte[] payload) {
            this.payload = Objects.requireNonNull(payload, "payload");
            return this;
        }

        /**
         * Builds the message.
         *
         * @return the message
         */
        public MqttServiceMessage build() {
            return new MqttServiceMessage(this);
        }
    }
}
