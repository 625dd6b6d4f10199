// The company's identity provider, of which the broker is one client (OpenID Connect Core §3.1, RFC 9700 §2.1). The way
// there is that of every other request of ours: GuardedFetcher.swift. Its ID tokens are checked by the authenticator that
// checks every subject token; what only a client can check (nonce, azp) is checked here.
package import Broker
package import JOSE
package import OpenSSL
import Synchronization

/// Sends browsers to the provider and finds out who came back. Callable from any thread.
package struct OpenIDProvider: Sendable {
    /// Who the broker is there.
    package struct Client: Sendable {
        let id: ExactString
        /// Nil for a public client.
        let secret: SecretText?
        let scopes: [ExactString]
        /// What else browsers are sent there with.
        let parameters: [SignInConfiguration.Parameter]
        /// Where browsers come back to, as it is registered there.
        let redirectURI: String

        package init(
            id: ExactString, secret: SecretText?, scopes: [ExactString],
            parameters: [SignInConfiguration.Parameter] = [], redirectURI: String
        ) {
            (self.id, self.secret, self.scopes, self.redirectURI) = (id, secret, scopes, redirectURI)
            self.parameters = parameters
        }
    }

    private let issuer: IssuerConfiguration
    private let client: Client
    private let authenticator: @Sendable () -> JWTAuthenticator
    private let fetcher: GuardedFetcher
    private let clock: any BrokerClock
    private let random: any RandomSource
    private let memory = MetadataMemory()
    private let documentURL: OutboundURL

    /// - Parameters:
    ///   - authenticator: that of the moment; it knows the issuer.
    ///   - fetcher: its deadline is that of each step, all of its requests together.
    /// - Throws: when the issuer is not a URL with a host.
    package init(
        issuer: IssuerConfiguration, client: Client, authenticator: @escaping @Sendable () -> JWTAuthenticator,
        fetcher: GuardedFetcher, clock: any BrokerClock, random: any RandomSource = SystemRandom()
    ) throws(KeySetFetchFailure) {
        documentURL = try DiscoveryKeySetFetcher.documentURL(of: issuer.issuer)
        self.issuer = issuer
        self.client = client
        self.authenticator = authenticator
        self.fetcher = fetcher
        self.clock = clock
        self.random = random
    }

    /// The issuer's configured name.
    package var name: IssuerName { issuer.name }

    /// Where a browser is to go, and what its return is checked against.
    package func begin() async throws(ProviderFailure) -> (url: String, attempt: AuthorizationAttempt) {
        let metadata = try await metadata(before: fetcher.deadline)
        let attempt: AuthorizationAttempt
        do {
            attempt = try AuthorizationAttempt(from: random)
        } catch {
            throw .unavailable("there is no randomness")
        }
        let own = [
            ("response_type", "code"), ("client_id", client.id.string), ("redirect_uri", client.redirectURI),
            ("scope", client.scopes.map(\.string).joined(separator: " ")), ("state", attempt.state.reveal()),
            ("nonce", attempt.nonce.reveal()), ("code_challenge", attempt.challenge),
            ("code_challenge_method", "S256"),
        ]
        let query = FormEncoding.encode(own + client.parameters.map { ($0.name.string, $0.value.string) })
        // RFC 6749 §3.1: the endpoint may have a query of its own.
        let separator = metadata.authorization.target.utf8.contains(UInt8(ascii: "?")) ? "&" : "?"
        return ("\(metadata.authorization)\(separator)\(query)", attempt)
    }

    /// Who came back.
    /// - Parameters:
    ///   - attempt: what this very browser was sent away with.
    ///   - beforeSending: called before the code is sent: from there on it may be used up, whatever comes of it.
    package func finish(
        _ callback: AuthorizationCallback, of attempt: AuthorizationAttempt, beforeSending: () -> Void = {}
    ) async throws(AuthorizationFailure) -> ProviderSignIn {
        guard let state = callback.state, Self.equal(state, attempt.state) else { throw .state }
        // RFC 9207 §2.4, before anything else that it says: an answer of another provider is none.
        if let name = callback.issuer, name != issuer.issuer { throw .issuer }
        let deadline = fetcher.deadline
        let metadata: ProviderMetadata
        do {
            metadata = try await self.metadata(before: deadline)
        } catch {
            throw AuthorizationFailure(error)
        }
        guard callback.issuer != nil || !metadata.namesItself else { throw .issuer }
        if let error = callback.error {
            guard error != "access_denied" else { throw .denied }
            throw .answered(DiscoveryKeySetFetcher.quoted(error))
        }
        guard let code = callback.code else { throw .noCode }
        let parameters = [
            ("grant_type", "authorization_code"), ("code", code.reveal()), ("redirect_uri", client.redirectURI),
            ("code_verifier", attempt.verifier.reveal()),
        ]
        beforeSending()
        let answer: TokenAnswer
        do {
            answer = try await ask(parameters, at: metadata, before: deadline)
        } catch {
            throw AuthorizationFailure(error)
        }
        guard let idToken = answer.idToken else { throw .idToken("the answer has no id_token") }
        let subject: VerifiedSubject
        do {
            subject = try await verified(idToken, before: deadline)
        } catch {
            throw AuthorizationFailure(error)
        }
        guard let nonce = subject.claims["nonce"]?.string, Self.equal(SecretText(nonce.string), attempt.nonce) else {
            throw .idToken("its nonce is not ours")
        }
        return ProviderSignIn(subject: subject, token: answer.refreshToken)
    }

    /// OpenID Connect Core §3.1.3.7 as far as the authenticator does not know that it is an ID token.
    private func verified(
        _ idToken: SecretText, before deadline: ContinuousClock.Instant
    ) async throws(IDTokenFailure) -> VerifiedSubject {
        guard let result = await authenticated(idToken, before: deadline) else {
            throw .keys("the issuer's keys did not come in time")
        }
        let subject: VerifiedSubject
        switch result {
        case .success(let proved): subject = proved
        case .failure(let failure):
            switch failure.reason {
            case .keysUnavailable(let words): throw .keys(words)
            case .audience: throw .foreign("it is for another client")
            default: throw .useless("\(failure.reason)")
            }
        }
        guard subject.issuer == issuer.name, subject.claims["iss"]?.string == issuer.issuer else {
            throw .useless("it is of another issuer")
        }
        let audiences = subject.claims["aud"]?.array?.compactMap(\.string)
        guard audiences?.contains(client.id) ?? (subject.claims["aud"]?.string == client.id) else {
            throw .foreign("it is for another client")
        }
        // §3.1.3.7 4. and 5.
        let party = subject.claims["azp"]
        guard party == nil || party?.string == client.id, party != nil || (audiences?.count ?? 1) == 1 else {
            throw .foreign("its azp is not our client")
        }
        return subject
    }

    /// What the authenticator says; nil at the deadline. A fetch of keys that it waits for goes on then, for others.
    private func authenticated(
        _ idToken: SecretText, before deadline: ContinuousClock.Instant
    ) async -> Result<VerifiedSubject, AuthenticationFailure>? {
        let (answers, continuation) = AsyncStream<Result<VerifiedSubject, AuthenticationFailure>>.makeStream()
        let (authenticator, now) = (authenticator(), clock.now)
        Task {
            do throws(AuthenticationFailure) {
                let subject = try await authenticator.authenticate(idToken, at: now)
                continuation.yield(.success(subject))
            } catch {
                continuation.yield(.failure(error))
            }
            continuation.finish()
        }
        let end = Task {
            try? await Task.sleep(until: deadline, clock: .continuous)
            continuation.finish()
        }
        defer { end.cancel() }
        for await answer in answers { return answer }
        return nil
    }

    private func ask(
        _ parameters: [(name: String, value: String)], at metadata: ProviderMetadata,
        before deadline: ContinuousClock.Instant
    ) async throws(ProviderFailure) -> TokenAnswer {
        var parameters = parameters
        var authorization: SecretText?
        if let secret = client.secret, metadata.takesBasic {
            authorization = PostedForm.basic(client.id, secret)
        } else {
            parameters.append(("client_id", client.id.string))
            if let secret = client.secret { parameters.append(("client_secret", secret.reveal())) }
        }
        let form = PostedForm(parameters, authorization: authorization)
        let document: FetchedDocument
        do {
            document = try await fetcher.post(
                form, to: metadata.token, allowsPrivateAddresses: issuer.allowsPrivateAddresses, before: deadline)
        } catch {
            throw .unavailable("token endpoint: \(error)")
        }
        return try TokenAnswer(document)
    }

    private func metadata(before deadline: ContinuousClock.Instant) async throws(ProviderFailure) -> ProviderMetadata {
        if let known = memory.metadata(at: clock.uptime) { return known }
        let document: FetchedDocument
        do {
            document = try await fetcher.fetch(
                documentURL, allowsPrivateAddresses: issuer.allowsPrivateAddresses, before: deadline)
        } catch {
            throw .unavailable("discovery: \(error)")
        }
        let metadata = try ProviderMetadata(document.body, of: issuer)
        memory.keep(metadata, at: clock.uptime)
        return metadata
    }

    /// In a time that tells of the lengths alone.
    private static func equal(_ one: SecretText, _ other: SecretText) -> Bool {
        SecretBytes(copying: Array(one.reveal().utf8).span) == SecretBytes(copying: Array(other.reveal().utf8).span)
    }
}

extension OpenIDProvider: IdentityProvider {
    package func renew(_ token: SecretBytes) async throws(ProviderFailure) -> ProviderRenewal {
        let deadline = fetcher.deadline
        let metadata = try await metadata(before: deadline)
        let text = token.withSpan { span in String(decoding: span.indices.map { span[$0] }, as: UTF8.self) }
        let parameters = [("grant_type", "refresh_token"), ("refresh_token", text)]
        let answer = try await ask(parameters, at: metadata, before: deadline)
        guard let idToken = answer.idToken else { return ProviderRenewal(.none, token: answer.refreshToken) }
        let vouching: ProviderRenewal.Vouching
        do throws(IDTokenFailure) {
            vouching = .proves(try await verified(idToken, before: deadline))
        } catch {
            switch error {
            case .foreign(let words): vouching = .foreign("the ID token of a renewal: \(words)")
            case .keys(let words), .useless(let words): vouching = .unchecked("the ID token of a renewal: \(words)")
            }
        }
        return ProviderRenewal(vouching, token: answer.refreshToken)
    }
}

/// Who signed in at the provider.
package struct ProviderSignIn: Sendable {
    package let subject: VerifiedSubject
    /// The provider's refresh token; nil where it gives none.
    package let token: SecretBytes?

    /// For show; nil where the provider tells none, or says that it is not verified.
    package var email: ExactString? {
        guard subject.claims["email_verified"] != .bool(false), let email = subject.claims["email"]?.string,
            email.utf8.count <= 254, !email.hasControlCharacters
        else { return nil }
        return email
    }

    /// `sid` (OpenID Connect Back-Channel Logout §2.1).
    package var session: ExactString? {
        guard let session = subject.claims["sid"]?.string, session.utf8.count <= 255 else { return nil }
        return session
    }
}

/// Why an ID token proves nothing. In words for the operator.
private enum IDTokenFailure: Error {
    /// It could not be checked.
    case keys(String)
    /// The provider signed it for another client.
    case foreign(String)
    case useless(String)
}

extension AuthorizationFailure {
    fileprivate init(_ failure: ProviderFailure) {
        switch failure {
        case .unavailable(let words): self = .unavailable(words)
        case .refused, .wordless: self = .code
        }
    }

    fileprivate init(_ failure: IDTokenFailure) {
        switch failure {
        case .keys(let words): self = .unavailable(words)
        case .foreign(let words), .useless(let words): self = .idToken(words)
        }
    }
}

/// The last discovery document that was good, for ten minutes.
private final class MetadataMemory: Sendable {
    private static let life: Duration = .seconds(600)
    private let state = Mutex<(metadata: ProviderMetadata, fetched: Duration)?>(nil)

    func metadata(at uptime: Duration) -> ProviderMetadata? {
        state.withLock { kept in
            guard let kept, uptime - kept.fetched < Self.life else { return nil }
            return kept.metadata
        }
    }

    func keep(_ metadata: ProviderMetadata, at uptime: Duration) {
        state.withLock { $0 = (metadata, uptime) }
    }
}
