package com.weirmq.sdk;

import java.net.http.HttpClient;

/** Gets the tokens with which WebSockets are opened. Calls block, and come from several threads. */
public interface TokenApi {
    /**
     * The token endpoint of a server, with the credentials of a user.
     *
     * @param url the server, {@code http://} or {@code https://}
     * @param user {@code tenant/user}, a user with the role application
     * @param password the password
     * @return an API with an HTTP client of its own
     */
    static TokenApi basic(String url, String user, String password) {
        return basic(url, user, password, HttpClient.newHttpClient());
    }

    /**
     * The token endpoint of a server, with the credentials of a user.
     *
     * @param url the server, {@code http://} or {@code https://}
     * @param user {@code tenant/user}, a user with the role application
     * @param password the password
     * @param client the HTTP client to use, for certificates or a proxy
     * @return an API
     */
    static TokenApi basic(String url, String user, String password, HttpClient client) {
        return new BasicTokenApi(url, user, password, client);
    }

    /**
     * Asks for a token.
     *
     * @param request what the token is to be for
     * @return the token, which can stand in a URL as it is
     * @throws MqttServiceException when there is none to be had
     */
    String create(TokenRequest request);

    /**
     * Removes the subscriber that a token names, with all that is stored for it. It is no error when there is none.
     *
     * @param token the token
     * @throws MqttServiceException when that failed
     */
    void unsubscribe(String token);
}
