package com.weirmq.sdk;

import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/** Makes publishers and subscribers over WebSocket, and remembers those that are not closed. */
final class WebSocketApi implements MqttServiceApi {
    private final Settings settings;
    private final Set<MqttPublisher> publishers = ConcurrentHashMap.newKeySet();
    private final Set<MqttSubscriber> subscribers = ConcurrentHashMap.newKeySet();

    WebSocketApi(Settings settings) {
        this.settings = settings;
    }

    @Override
    public MqttPublisher buildPublisher(PublisherConfig config) {
        MqttPublisher publisher = new WebSocketPublisher(settings, config, publishers::remove);
        publishers.add(publisher);
        return publisher;
    }

    @Override
    public MqttSubscriber buildSubscriber(SubscriberConfig config) {
        MqttSubscriber subscriber = new WebSocketSubscriber(settings, config, subscribers::remove);
        subscribers.add(subscriber);
        return subscriber;
    }

    @Override
    public void close() {
        List.copyOf(subscribers).forEach(MqttSubscriber::close);
        List.copyOf(publishers).forEach(MqttPublisher::close);
    }
}
