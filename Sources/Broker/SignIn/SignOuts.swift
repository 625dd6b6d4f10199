package import JOSE
import Synchronization

/// Whom the identity provider's logout tokens named in the last 15 minutes, longer than any sign-in takes to become a
/// session. A logout ends the sessions that there are; what was begun before it and is not a session yet asks here.
/// Callable from any thread; does not suspend.
final class SignOuts: Sendable {
    static let period: Duration = .seconds(900)
    static let maximumRemembered = 16_384

    private enum Name: Hashable {
        case subject(IssuerName, ExactString)
        case session(IssuerName, ExactString)
        case sessionOf(IssuerName, ExactString, ExactString)
        /// Any session of somebody's: it names one of which it is not known whether it is that.
        case anyOf(IssuerName, ExactString)
    }

    private struct State {
        /// The last uptime at which each was named.
        var latest: [Name: Duration] = [:]
        /// The last uptime of those for which there was no room: whatever began before it counts as signed out.
        var overflow: Duration?
    }

    private let maximum: Int
    private let state = Mutex(State())

    init(maximum: Int = SignOuts.maximumRemembered) {
        self.maximum = maximum
    }

    /// Keeps in mind what a logout token named, from before its sessions are looked for.
    /// - Parameters:
    ///   - identity: `name:sub`; nil where it names none.
    ///   - providerSession: `sid`; nil where it names none.
    func note(
        _ identity: ExactString?, providerSession: ExactString?, of issuer: IssuerName, at uptime: Duration
    ) {
        let names: [Name] =
            switch (identity, providerSession) {
            case (nil, nil): []
            case (let identity?, nil): [.subject(issuer, identity)]
            case (nil, let session?): [.session(issuer, session)]
            case (let identity?, let session?):
                [.sessionOf(issuer, identity, session), .anyOf(issuer, identity)]
            }
        state.withLock { state in
            if state.latest.count + names.count > maximum {
                state.latest = state.latest.filter { uptime - $0.value < Self.period }
            }
            guard state.latest.count + names.count <= maximum else {
                state.overflow = uptime
                return
            }
            for name in names { state.latest[name] = uptime }
        }
    }

    /// Whether a logout at that moment or later named this person, or this session of his.
    /// - Parameter providerSession: nil where it is not known: a logout of any of his sessions counts.
    func names(
        _ identity: ExactString, providerSession: ExactString?, of issuer: IssuerName, since uptime: Duration
    ) -> Bool {
        var names: [Name] = [.subject(issuer, identity)]
        if let providerSession {
            names += [.session(issuer, providerSession), .sessionOf(issuer, identity, providerSession)]
        } else {
            names.append(.anyOf(issuer, identity))
        }
        return state.withLock { state in
            if let overflow = state.overflow, overflow >= uptime { return true }
            return names.contains { name in state.latest[name].map { $0 >= uptime } ?? false }
        }
    }
}

extension SignIn {
    /// Whether a logout token that was taken at that moment or later names this person, or this session at the provider.
    /// What takes a while asks it at its end, with the moment of its beginning: no logout meanwhile is lost.
    /// - Parameters:
    ///   - identity: as sessions have it, `name:sub`.
    ///   - providerSession: `sid` of the ID token; nil where it has none.
    ///   - uptime: by the clock that never goes back, at most 15 minutes ago.
    package func isSignedOut(
        _ identity: ExactString, providerSession: ExactString?, of issuer: IssuerName, since uptime: Duration
    ) -> Bool {
        signOuts.names(identity, providerSession: providerSession, of: issuer, since: uptime)
    }
}
