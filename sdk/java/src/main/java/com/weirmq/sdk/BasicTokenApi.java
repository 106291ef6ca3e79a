package com.weirmq.sdk;

import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Base64;
import java.util.Objects;

/** The token endpoints, with HTTP Basic. */
final class BasicTokenApi implements TokenApi {
    private static final Duration TIMEOUT = Duration.ofSeconds(30);
    private static final int MAX_BODY = 64 * 1024;

    private final URI tokens;
    private final URI unsubscribe;
    private final String authorization;
    private final HttpClient client;

    BasicTokenApi(String url, String user, String password, HttpClient client) {
        if (!url.startsWith("http://") && !url.startsWith("https://")) {
            throw new IllegalArgumentException("the URL of the token API does not begin with http:// or https://");
        }
        String base = url.endsWith("/") ? url.substring(0, url.length() - 1) : url;
        tokens = URI.create(base + "/notification2/token");
        unsubscribe = URI.create(base + "/notification2/unsubscribe");
        byte[] credentials = (Objects.requireNonNull(user, "user") + ":" + Objects.requireNonNull(password, "password"))
                .getBytes(StandardCharsets.UTF_8);
        authorization = "Basic " + Base64.getEncoder().encodeToString(credentials);
        this.client = Objects.requireNonNull(client, "client");
    }

    @Override
    public String create(TokenRequest request) {
        String body = "{\"subscriber\":" + Json.quote(request.getSubscriber())
                + ",\"subscription\":" + Json.quote(request.getSubscription())
                + ",\"type\":\"mqtt\",\"signed\":true"
                + ",\"expiresInMinutes\":" + request.getExpiresInMinutes()
                + ",\"shared\":" + request.isShared()
                + ",\"nonPersistent\":" + request.isNonPersistent() + "}";
        String answer = post(tokens, "application/json", body);
        try {
            Object token = Json.object(answer).get("token");
            if (token instanceof String) {
                return (String) token;
            }
        } catch (IllegalArgumentException notJson) {
            // Told below, without the body: it may hold a token.
        }
        throw new MqttServiceException(MqttServiceException.TOKEN_FAILED, "the answer holds no token", null);
    }

    @Override
    public void unsubscribe(String token) {
        post(URI.create(unsubscribe + "?token=" + token), "text/plain", "");
    }

    private String post(URI uri, String type, String body) {
        HttpRequest request = HttpRequest.newBuilder(uri)
                .version(HttpClient.Version.HTTP_1_1)
                .timeout(TIMEOUT)
                .header("Authorization", authorization)
                .header("Content-Type", type)
                .header("Accept", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(body))
                .build();
        try {
            HttpResponse<InputStream> response = client.send(request, HttpResponse.BodyHandlers.ofInputStream());
            String answer;
            try (InputStream in = response.body()) {
                answer = new String(in.readNBytes(MAX_BODY), StandardCharsets.UTF_8);
            }
            if (response.statusCode() == 200 || response.statusCode() == 201) {
                return answer;
            }
            throw MqttServiceException.ofStatus(response.statusCode(), answer, null);
        } catch (IOException e) {
            throw new MqttServiceException(
                    MqttServiceException.CONNECTION_FAILED, "no answer from the token API", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new MqttServiceException(MqttServiceException.INTERRUPTED, "interrupted", e);
        }
    }
}
