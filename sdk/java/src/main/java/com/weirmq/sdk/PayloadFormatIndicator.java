package com.weirmq.sdk;

/** What the sender says about a payload, the MQTT 5 property of this name. The order is that of the wire. */
public enum PayloadFormatIndicator {
    /** Bytes of any kind. */
    UNSPECIFIED,
    /** UTF-8 text. */
    UTF_8
}
