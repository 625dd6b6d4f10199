extension RefusalReason {
    /// What it means, and by whose words, for `explain`.
    var words: String {
        switch self {
        case .malformed: "what was presented is no well-formed token"
        case .claim: "a claim that every token needs is missing or malformed, as its issuer signed it"
        case .issuer: "nobody whom the configuration names vouches for it"
        case .type: "the token says of itself that it is of another type"
        case .algorithm: "its algorithm is not one that the configuration allows for its issuer"
        case .key: "the key that it names is not published by its issuer, or not ours"
        case .signature: "its signature does not fit the key: it was altered, or signed by somebody else"
        case .logoutToken: "it is a logout token, which its issuer signed for another use"
        case .audience: "its issuer signed it for somebody else than this broker"
        case .expired: "it is over by its issuer's own exp"
        case .notYetValid: "it begins later, by its issuer's own words: the clocks differ, or it was made ahead"
        case .lifetime: "its issuer lets it live longer than the configuration allows (max_lifetime)"
        case .keysUnavailable: "the keys of its issuer could not be had, so nothing could be decided"
        case .certificate: "it takes a client certificate, and the request came without it or with another one"
        case .actor: "who acts for the subject is not proved, or may not (see actor)"
        case .noRule: "no rule matches"
        case .scope: "more scope was asked for than the rule grants"
        case .target: "an audience or resource was asked for that the rule does not grant"
        case .replayed: "the subject token was presented more often than the configuration allows (replay)"
        case .sessionOver: "its session has ended (max_session)"
        case .sessionUnknown:
            "its signature is this broker's, and its session is not in the store: the store was set back"
        case .grantChanged: "the session's rule grants by now nothing of what the token has"
        case .lineage: "the token stands below as many sessions as there may be"
        case .forBroker: "tokens with the broker's own scopes are neither renewed nor narrowed"
        case .signedIn: "somebody signed in to its session, which its refresh token renews, or daypass login"
        case .tokenTooLong: "the gateway token would be longer than gateways take"
        case .issuedBeforeRestore: "it may be older than the restoring of the store, which forgot how often it was used"
        case .revoked: "it, or something that it stands on, was revoked"
        case .blocked: "a revocation keeps it out (see blocked)"
        case .provider: "the company's identity provider refused, failed, or proved nothing (see the words)"
        case .denied: "whoever was asked to approve the device refused it"
        case .store: "it could not be recorded: nothing is wrong with the request"
        case .mint: "a token could not be made: nothing is wrong with the request"
        }
    }
}
