import JOSE
import OpenSSL

// Asking the company's provider again, before a sign-in is renewed.
extension SignIn {
    /// Who it is by the provider's word, nil where it gives none or cannot be asked for want of a token of its own; and
    /// what is to be sealed from here on. A token that the provider gave is stored on return.
    func askProvider(
        of presented: PresentedRefreshToken, _ opened: SignInSecrets, _ request: ExchangeRequest
    ) async throws(SignInRefusal) -> (subject: VerifiedSubject?, secrets: SignInSecrets) {
        let session = presented.session
        var secrets = opened.replacing(inHand.token(of: session.id))
        guard let provider, let token = secrets.providerToken else { return (nil, secrets) }
        let renewal: ProviderRenewal
        do {
            renewal = try await provider.renew(token)
        } catch {
            try await refuse(session, error, request)
            throw .ended(.provider)
        }
        wordless.forget(session.id)
        if let next = renewal.token {
            secrets = secrets.replacing(next)
            try await keep(next, in: secrets, of: presented)
        }
        switch renewal.vouching {
        case .none: return (nil, secrets)
        case .proves(let subject): return (subject, secrets)
        case .unchecked(let cause): throw unavailable(session, cause)
        case .foreign(let cause):
            try await end(session, because: "the identity provider vouches to another client", request)
            try await refuse(session, request, .claim, ["message": .string(ExactString(cause))], at: clock.now)
            throw .ended(.person)
        }
    }

    /// Returns where the provider refused, and the session has ended.
    private func refuse(
        _ session: SessionRecord, _ failure: ProviderFailure, _ request: ExchangeRequest
    ) async throws(SignInRefusal) {
        let cause: String
        switch failure {
        case .unavailable(let words): throw unavailable(session, words)
        case .wordless:
            guard wordless.isRefusal(of: session.id, at: clock.uptime) else {
                throw unavailable(session, "the provider answers 400 and nothing else")
            }
            cause = "the provider answers 400 and nothing else, again"
        case .refused(let words): cause = words
        }
        wordless.forget(session.id)
        try await end(session, because: "the identity provider refused to renew it", request)
        try await refuse(session, request, .sessionOver, ["message": .string(ExactString(cause))], at: clock.now)
    }

    private func unavailable(_ session: SessionRecord, _ cause: String) -> SignInRefusal {
        .unavailable(ExchangeOutage(.keysUnavailable, cause: cause, issuer: session.issuer, rule: session.rule))
    }

    /// Before anything else can go wrong: the provider takes the token before for a stolen one from here on.
    private func keep(
        _ token: SecretBytes, in secrets: SignInSecrets, of presented: PresentedRefreshToken
    ) async throws(SignInRefusal) {
        let session = presented.session
        inHand.keep(token, of: session.id, until: session.end, at: clock.now)
        let sealed = try sealed(secrets, of: session)
        do {
            try await store.keep(presented.signIn.resealed(as: sealed, under: masterKey.id))
        } catch {
            throw .unavailable(
                ExchangeOutage(.store, cause: error.description, issuer: session.issuer, rule: session.rule))
        }
        inHand.forget(session.id)
    }

    func sealed(_ secrets: SignInSecrets, of session: SessionRecord) throws(SignInRefusal) -> [UInt8] {
        do {
            return try secrets.sealed(with: masterKey, for: session.id)
        } catch {
            throw .unavailable(.minting(error, session.issuer, session.rule))
        }
    }

    /// Ends the session with all its tokens.
    func end(
        _ session: SessionRecord, because reason: String, _ request: ExchangeRequest
    ) async throws(SignInRefusal) {
        inHand.forget(session.id)
        do {
            let wish = try RevocationRequest(.session(session.id), reason: reason)
            _ = try await revocations.revoke(wish, by: .daemon, trace: request.trace)
        } catch {
            throw .unavailable(
                ExchangeOutage(.store, cause: "\(error)", issuer: session.issuer, rule: session.rule))
        }
    }
}
