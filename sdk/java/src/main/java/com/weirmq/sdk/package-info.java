/**
 * Publishes MQTT messages from a service, and subscribes to them, over Weir's WebSocket endpoints.
 *
 * <p>Start at {@link com.weirmq.sdk.MqttServiceApi}. A publisher and a subscriber each have one WebSocket, which they
 * connect again when it breaks, and one thread on which all callbacks run, one after the other.
 *
 * <p>Delivery is at least once in both directions: a publish is answered when it is stored, and sent again where the
 * answer got lost; a message is acknowledged when the listener has returned, and delivered again where it was not.
 */
package com.weirmq.sdk;
