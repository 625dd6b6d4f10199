import BrokerTesting
import Foundation
import JOSE
import OpenSSL
import Synchronization

@testable import Broker

/// Signing in over an exchange bench: its issuer, rules, store, clock and revocations.
struct SignInBench {
    let base: ExchangeBench
    let provider: ScriptedProvider?
    let signIn: SignIn
    let rules: RuleSet
    let masterKey: MasterKey

    /// - Parameters:
    ///   - rules: in place of one that grants tokens of 15 minutes in sessions of an hour to everybody.
    ///   - earlier: the bench that this one goes on from under other rules.
    init(
        rules: [Rule]? = nil, provider: ScriptedProvider? = nil, masterKey: MasterKey? = nil,
        after earlier: SignInBench? = nil
    ) throws {
        base = try earlier?.base ?? ExchangeBench()
        self.provider = provider ?? earlier?.provider
        let issuers = [
            try Fixture.configuration(base.issuer), try Fixture.configuration(Fixture.agents, name: "agents"),
        ]
        let written = try rules ?? [ExchangeBench.main()]
        self.rules = try RuleSet(written, issuers: issuers, broker: Fixture.broker)
        let (state, clock) = (base.state, base.clock)
        let trusted = try Fixture.trusted(base.issuer)
        self.masterKey = try masterKey ?? earlier?.masterKey ?? MasterKey.generate().0
        let parts = SignIn.Parts(
            devices: earlier?.signIn.devices ?? DeviceAuthorizations(clock: clock),
            masterKey: self.masterKey, provider: self.provider,
            logouts: LogoutTokens { trusted })
        signIn = SignIn(
            parts, rules: self.rules,
            mint: TokenMint(issuer: Fixture.broker, state: { state.current }, random: SystemRandom()),
            store: base.store, revocations: base.revocations, keptClaims: .matched, clock: clock,
            logger: base.log.logger, recent: base.recent)
    }

    func subject(_ changes: JSONObject = [:]) async throws -> VerifiedSubject {
        try await Fixture.authenticator(base.issuer).authenticate(
            SecretText(base.token(changes)), at: base.clock.now)
    }

    func approval(
        _ changes: JSONObject = [:], under rules: RuleSet? = nil, providerToken: String? = nil,
        providerSession: ExactString? = "p1"
    ) async throws -> Approval {
        let subject = try await subject(changes)
        guard let grant = (rules ?? self.rules).matchDevice(subject, naming: nil).grant else { throw NotGranted() }
        var token = providerToken.map { Array($0.utf8) }
        return Approval(
            subject: subject, since: base.state.current.revocations.highest, grant: grant, email: "alice@example.com",
            providerToken: token.map { _ in SecretBytes(moving: &token!) }, providerSession: providerSession,
            from: "198.51.100.4", proved: base.clock.uptime)
    }

    struct NotGranted: Error {}

    /// A device code that was approved so.
    func approved(_ approval: Approval, on device: DeviceDescription = DeviceDescription()) throws -> SecretText {
        guard
            case .begun(let begun) = try signIn.devices.begin(
                from: .init(bytes: [192, 0, 2, 7])!, asking: device),
            signIn.devices.approve(begun.userCode, with: approval)
        else { throw NotGranted() }
        return begun.deviceCode
    }

    func redeem(_ code: SecretText) async -> Result<SignInResponse, SignInRefusal> {
        do {
            return .success(try await signIn.redeem(code, from: "192.0.2.7", under: TraceID()))
        } catch {
            return .failure(error)
        }
    }

    func refresh(
        _ token: SecretText?, scope: [Scope]? = nil
    ) async -> Result<SignInResponse, SignInRefusal> {
        do {
            return .success(
                try await signIn.refresh(token ?? SecretText(""), scope: scope, from: "192.0.2.7", under: TraceID()))
        } catch {
            return .failure(error)
        }
    }

    /// What somebody gets who signs in.
    func signedIn(_ changes: JSONObject = [:], providerToken: String? = nil) async throws -> SignInResponse {
        try await redeem(approved(approval(changes, providerToken: providerToken))).get()
    }
}

extension Result where Success == SignInResponse, Failure == SignInRefusal {
    /// What the caller learns; nil where there is a token.
    var refusal: String? {
        switch self {
        case .success: nil
        case .failure(.unavailable(let outage)): "unavailable \(outage.reason)"
        case .failure(.ended): "ended"
        case .failure(.denied): "denied"
        case .failure(let refusal): "\(refusal)"
        }
    }

    var refreshToken: SecretText? { (try? get())?.refreshToken }
}

/// A provider that says what a test wants said.
final class ScriptedProvider: IdentityProvider {
    typealias Answer = Result<ProviderRenewal, ProviderFailure>

    private let state: Mutex<(answer: Answer, asked: [String])>
    private let waits = Mutex<(@Sendable () async -> Void)?>(nil)

    init(_ answer: Answer = .success(ProviderRenewal(.none, token: nil))) {
        state = Mutex((answer, []))
    }

    /// The refresh tokens that it was asked with.
    var asked: [String] { state.withLock { $0.asked } }

    func says(_ answer: Answer) { state.withLock { $0.answer = answer } }

    /// What happens before each answer.
    func takes(_ wait: @escaping @Sendable () async -> Void) { waits.withLock { $0 = wait } }

    func renew(_ token: SecretBytes) async throws(ProviderFailure) -> ProviderRenewal {
        let text = token.withSpan { span in String(decoding: (0..<span.count).map { span[$0] }, as: UTF8.self) }
        state.withLock { $0.asked.append(text) }
        if let wait = waits.withLock({ $0 }) { await wait() }
        return try state.withLock { $0.answer }.get()
    }
}
