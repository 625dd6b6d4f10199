/// The broker as somebody sees it who has signed in there: each exchange uses up the refresh token that is kept, and keeps
/// the next one before it returns.
package struct SignedInBroker: ProofSource, TokenEndpoint {
    private let broker: TokenExchangeClient
    private let origin: String
    private let store: SignInStore
    private let id: String
    private let clock: any TokenClock
    private let note: @Sendable (String) -> Void
    /// Of what this sign-in gets from all others.
    let distinction: Distinction

    /// - Parameter note: is told what a person should know, in one line.
    /// - Throws: `signedOut` where nobody has signed in.
    package init(
        _ wish: TokenWish, in environment: [String: String], clock: any TokenClock = SystemTokenClock(),
        note: @escaping @Sendable (String) -> Void
    ) throws(TokenFailure) {
        guard let store = SignInStore(wish.origin, in: environment) else { throw SignInStore.noPlace }
        guard let saved = try store.saved() else {
            throw .signedOut("nobody is signed in at \(wish.origin): sign in with `daypass login`")
        }
        (self.store, id, self.clock, self.note) = (store, saved.id, clock, note)
        distinction = Distinction(key: Self.line(of: saved.id), ContinuousIntegrationJob(in: environment))
        origin = wish.origin
        broker = TokenExchangeClient(
            wish.origin, scope: wish.scope.isEmpty ? nil : wish.scope.joined(separator: " "), rule: nil,
            authorities: wish.authorities, certificate: nil)
    }

    /// How the keys of its tokens begin.
    static func line(of id: String) -> String { "login:\(id)" }

    /// The broker asks the provider first, for five seconds at most, and then uses up the token: an answer that nobody waits for
    /// is given again for half a minute only, and the next use of the old token ends the session.
    package var slowestAnswer: Duration { .milliseconds(5500) }

    /// Whoever is signed out is told so by the very next call.
    package var trust: Duration { .zero }

    package func proof(within time: Duration) async throws(TokenFailure) -> Proof { .signIn }

    package func exchange(_ proof: Proof, within time: Duration) async throws(TokenFailure) -> IssuedToken {
        guard proof == .signIn else { throw .refused("a sign-in renews its tokens by itself alone") }
        let end = clock.uptime + time
        // Two that use the same token at once look like a thief and the one it was stolen from.
        let lock = try await store.lock(until: end, clock)
        guard let saved = try store.saved(), saved.id == id else {
            throw .signedOut("somebody has signed out meanwhile, or in anew: ask again")
        }
        let token = try store.token(of: saved)
        // What comes too late to be kept would be lost.
        let room = saved.keeping == .secretService ? SecretService.longest : .zero
        let left = end - clock.uptime - room
        guard left >= slowestAnswer else {
            throw .unreachable(
                "another process has used the sign-in until now, and there is no time left to ask \(origin)")
        }
        let granted = try await broker.refresh(token, within: left)
        if let next = granted.refresh, next != token {
            do throws(TokenFailure) {
                try store.replace(saved, with: next, lock)
            } catch {
                note("\(error.words); sign in again with `daypass login` before this token ends")
            }
        }
        return granted.issued
    }

    package func check(_ token: TokenText, scope: String, within time: Duration) async -> TokenCheck {
        await broker.check(token, scope: scope, within: time)
    }
}
