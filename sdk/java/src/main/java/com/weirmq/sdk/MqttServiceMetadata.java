package com.weirmq.sdk;

import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import org.apache.avro.reflect.Nullable;

/**
 * What is known about a message besides its payload. Immutable, except that correlation data are not copied.
 *
 * <p>Of a message received, everything that its publisher said is here. Of a message to publish, {@code clientId} names
 * the device that alone gets it, the MQTT 5 properties go along, and the others count for nothing: the publisher's
 * configuration says the topic.
 */
public final class MqttServiceMetadata {
    static final MqttServiceMetadata EMPTY = builder().build();

    // The wire has the fields in alphabetical order, which is also the order that Avro's reflection gives them.
    @Nullable private final String clientId;
    @Nullable private final String contentType;
    @Nullable private final byte[] correlationData;
    private final boolean dupFlag;
    private final int messageId;
    @Nullable private final PayloadFormatIndicator payloadFormatIndicator;
    @Nullable private final String responseTopic;
    @Nullable private final String topic;
    @Nullable private final Map<String, String> userProperties;

    private MqttServiceMetadata(Builder builder) {
        clientId = builder.clientId;
        contentType = builder.contentType;
        correlationData = builder.correlationData;
        dupFlag = builder.dupFlag;
        messageId = builder.messageId;
        payloadFormatIndicator = builder.payloadFormatIndicator;
        responseTopic = builder.responseTopic;
        topic = builder.topic;
        userProperties = builder.userProperties;
    }

    /**
     * Starts metadata in which nothing is set.
     *
     * @return a builder
     */
    public static Builder builder() {
        return new Builder();
    }

    /**
     * The client identifier: of the publisher in a message received, of the only receiver in a message to publish.
     *
     * @return null when not set
     */
    public String getClientId() {
        return clientId;
    }

    /**
     * The MQTT 5 content type.
     *
     * @return null when not set
     */
    public String getContentType() {
        return contentType;
    }

    /**
     * The MQTT 5 correlation data. The array is not a copy.
     *
     * @return null when not set
     */
    public byte[] getCorrelationData() {
        return correlationData;
    }

    /**
     * Whether the device marked the packet as one that it had sent before.
     *
     * @return the DUP flag
     */
    public boolean isDupFlag() {
        return dupFlag;
    }

    /**
     * The packet identifier that the device gave its publish.
     *
     * @return 0 where there was none
     */
    public int getMessageId() {
        return messageId;
    }

    /**
     * The MQTT 5 payload format indicator.
     *
     * @return null when not set
     */
    public PayloadFormatIndicator getPayloadFormatIndicator() {
        return payloadFormatIndicator;
    }

    /**
     * The MQTT 5 response topic.
     *
     * @return null when not set
     */
    public String getResponseTopic() {
        return responseTopic;
    }

    /**
     * The topic that the message was published to, which tells the messages of a filter with wildcards apart.
     *
     * @return null when not set
     */
    public String getTopic() {
        return topic;
    }

    /**
     * The MQTT 5 user properties. Where the device repeated a name, its last value.
     *
     * @return null when not set; else unmodifiable
     */
    public Map<String, String> getUserProperties() {
        return userProperties;
    }

    @Override
    public boolean equals(Object other) {
        if (!(other instanceof MqttServiceMetadata)) {
            return false;
        }
        MqttServiceMetadata metadata = (MqttServiceMetadata) other;
        return dupFlag == metadata.dupFlag
                && messageId == metadata.messageId
                && payloadFormatIndicator == metadata.payloadFormatIndicator
                && Objects.equals(clientId, metadata.clientId)
                && Objects.equals(contentType, metadata.contentType)
                && Arrays.equals(correlationData, metadata.correlationData)
                && Objects.equals(responseTopic, metadata.responseTopic)
                && Objects.equals(topic, metadata.topic)
                && Objects.equals(userProperties, metadata.userProperties);
    }

    @Override
    public int hashCode() {
        return Objects.hash(clientId, messageId, topic, userProperties);
    }

    /** Names the client, the topic and the packet; values of properties may be confidential and are left out. */
    @Override
    public String toString() {
        return "clientId=" + clientId + ", topic=" + topic + ", messageId=" + messageId + ", dupFlag=" + dupFlag;
    }

    /** Builds metadata. Not for several threads. */
    public static final class Builder {
        private String clientId;
        private String contentType;
        private byte[] correlationData;
        private boolean dupFlag;
        private int messageId;
        private PayloadFormatIndicator payloadFormatIndicator;
        private String responseTopic;
        private String topic;
        private Map<String, String> userProperties;

        private Builder() {}

        /**
         * Names the device that alone gets the message.
         *
         * @param clientId null: every subscriber of the topic gets it
         * @return this
         */
        public Builder clientId(String clientId) {
            this.clientId = clientId;
            return this;
        }

        /**
         * Sets the MQTT 5 content type.
         *
         * @param contentType null: none
         * @return this
         */
        public Builder contentType(String contentType) {
            this.contentType = contentType;
            return this;
        }

        /**
         * Sets the MQTT 5 correlation data. The array is not copied and must not change any more.
         *
         * @param correlationData null: none
         * @return this
         */
        public Builder correlationData(byte[] correlationData) {
            this.correlationData = correlationData;
            return this;
        }

        /**
         * Sets the DUP flag, which only received messages have.
         *
         * @param dupFlag the flag
         * @return this
         */
        public Builder dupFlag(boolean dupFlag) {
            this.dupFlag = dupFlag;
            return this;
        }

        /**
         * Sets the packet identifier, which only received messages have.
         *
         * @param messageId 0: none
         * @return this
         */
        public Builder messageId(int messageId) {
            this.messageId = messageId;
            return this;
        }

        /**
         * Sets the MQTT 5 payload format indicator.
         *
         * @param payloadFormatIndicator null: none
         * @return this
         */
        public Builder payloadFormatIndicator(PayloadFormatIndicator payloadFormatIndicator) {
            this.payloadFormatIndicator = payloadFormatIndicator;
            return this;
        }

        /**
         * Sets the MQTT 5 response topic.
         *
         * @param responseTopic null: none
         * @return this
         */
        public Builder responseTopic(String responseTopic) {
            this.responseTopic = responseTopic;
            return this;
        }

        /**
         * Sets the topic, which only received messages have. It does not change where a message is published to.
         *
         * @param topic null: none
         * @return this
         */
        public Builder topic(String topic) {
            this.topic = topic;
            return this;
        }

        /**
         * Sets the MQTT 5 user properties, which are sent in the order of the map.
         *
         * @param userProperties null: none; else copied, without null in it
         * @return this
         */
        public Builder userProperties(Map<String, String> userProperties) {
            if (userProperties == null) {
                this.userProperties = null;
                return this;
            }
            Map<String, String> copy = new LinkedHashMap<>(userProperties);
            copy.forEach((name, value) -> {
                Objects.requireNonNull(name, "name of a user property");
                Objects.requireNonNull(value, "value of a user property");
            });
            this.userProperties = Collections.unmodifiableMap(copy);
            return this;
        }

        /**
         * Builds the metadata.
         *
         * @return the metadata
         */
        public MqttServiceMetadata build() {
            return new MqttServiceMetadata(this);
        }
    }
}
