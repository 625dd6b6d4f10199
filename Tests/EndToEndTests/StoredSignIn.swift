import Broker
import BrokerSQLite
import BrokerTesting
import Foundation
import JOSE
import Logging
import Testing

@testable import DaypassServer

/// A real broker where people sign in, over a store in which some have signed in before it began: what a browser and an
/// identity provider would have done is done on the store itself.
struct StoredSignIn: HTTPOrigin {
    /// What a device has after somebody signed in on it.
    struct Tokens: Sendable {
        let session: String
        let access: String
        let refresh: String
    }

    let broker: RunningBroker
    let issuer: TestIssuer
    /// Of each person in the order of their names.
    let tokens: [Tokens]

    var origin: String { broker.origin }

    /// - Parameter people: the subjects at the provider; their e-mail addresses are of example.com.
    init(_ people: [String] = ["ada"]) async throws {
        let workspace = try Workspace()
        issuer = try TestIssuer("https://issuer.example.com", algorithm: .ES256)
        let rules = try RunningBroker.fileIssuer(issuer, in: workspace)
        let first = try await RunningBroker(
            workspace,
            issuersAndRules: rules + "sign_in: {issuer: github, client_id: \"\(RunningBroker.audience)\"}\n",
            admin: "{socket: run/admin.sock}")
        first.process.signal(SIGTERM)
        try #require(try await first.process.outcome().status == 0)
        tokens = try await Self.signIn(people, issuer, workspace.path("daypass.yaml"))
        broker = try await RunningBroker(restarting: first)
        try await waitUntilAdministered()
    }

    private init(_ broker: RunningBroker, _ before: StoredSignIn) {
        (self.broker, issuer, tokens) = (broker, before.issuer, before.tokens)
    }

    /// Kills it, and starts another over what it left.
    func killed() async throws -> StoredSignIn {
        broker.process.signal(SIGKILL)
        _ = try await broker.process.outcome()
        return try await restarted()
    }

    /// Starts it again after it has ended.
    func restarted() async throws -> StoredSignIn {
        let next = StoredSignIn(try await RunningBroker(restarting: broker), self)
        try await next.waitUntilAdministered()
        return next
    }

    private func waitUntilAdministered() async throws {
        try await waitUntil("daypassd is administered") { broker.process.error.contains(#""listener":"admin""#) }
    }

    func refresh(_ token: String) async throws -> Answer {
        try await self.token([("grant_type", "refresh_token"), ("refresh_token", token)])
    }

    func isGood(_ access: String) async throws -> Bool { try await broker.verify(access).status == 200 }

    func daypass(_ arguments: String...) async throws -> RunningProcess.Outcome {
        try await AdministeredBroker.daypass(
            arguments, ["DAYPASS_SOCKET": broker.workspace.path("run/admin.sock")])
    }

    private static func signIn(
        _ people: [String], _ issuer: TestIssuer, _ path: String
    ) async throws -> [Tokens] {
        let (configuration, _) = try ConfigurationFile.read(path)
        let masterKey = try MasterKeyFile.read(configuration.masterKeyFile)
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let store = try Daemon.openStore(configuration, .existing, logger)
        do {
            let signIn = try await Self.signIn(over: store, configuration, masterKey, logger)
            var tokens: [Tokens] = []
            for person in people {
                tokens.append(try await Self.tokens(of: person, issuer, configuration, signIn))
            }
            await store.close()
            return tokens
        } catch {
            await store.close()
            throw error
        }
    }

    private static func signIn(
        over store: SQLiteStore, _ configuration: BrokerConfiguration, _ masterKey: MasterKey, _ logger: Logger
    ) async throws -> SignIn {
        let keys = try await store.signingKeys()
        let state = StateHolder(BrokerState(keyRing: try KeyRing(opening: keys, with: masterKey)))
        let clock = SystemClock()
        let mint = TokenMint(
            issuer: configuration.tokens.issuer, state: { state.current }, random: SystemRandom())
        return SignIn(
            SignIn.Parts(devices: DeviceAuthorizations(clock: clock), masterKey: masterKey),
            rules: configuration.rules, mint: mint, store: store,
            revocations: Revocations(store, publishedIn: state, clock: clock, logger: logger),
            keptClaims: configuration.audit.claims, clock: clock, logger: logger)
    }

    private static func tokens(
        of person: String, _ issuer: TestIssuer, _ configuration: BrokerConfiguration, _ signIn: SignIn
    ) async throws -> Tokens {
        let trusted = try configuration.issuers.map {
            TrustedIssuer(
                configuration: $0, keys: IssuerKeys(name: $0.name, keys: try issuer.keySet, clock: SystemClock()))
        }
        let claims = issuer.claims(subject: person, at: Date())
            .merging(["repository_id": "123456", "ref": "refs/heads/main"])
        let subject = try await JWTAuthenticator(trusted).authenticate(SecretText(issuer.token(claims)), at: Date())
        guard case .granted(let grant) = configuration.rules.match(subject, naming: nil),
            let address = IPAddress(bytes: [192, 0, 2, 7]),
            case .begun(let begun) = try signIn.devices.begin(
                from: address, asking: DeviceDescription(surface: "daypass", name: ExactString("\(person)'s laptop")))
        else { throw CocoaError(.coderValueNotFound) }
        let approval = Approval(
            subject: subject, since: 0, grant: grant, email: ExactString("\(person)@example.com"),
            providerSession: ExactString("\(person)-1"))
        try #require(signIn.devices.approve(begun.userCode, with: approval))
        let response = try await signIn.redeem(begun.deviceCode, from: "192.0.2.7", under: TraceID())
        return Tokens(
            session: response.token.sessionID.string, access: response.token.accessToken.reveal(),
            refresh: try #require(response.refreshToken).reveal())
    }
}
