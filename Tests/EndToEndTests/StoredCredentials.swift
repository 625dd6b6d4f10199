import Broker
import BrokerSQLite
import BrokerTesting
import Foundation
import JOSE
import Logging
import OpenSSL
import Testing

/// The credentials in the store of a broker that has ended, or before one begins.
struct StoredCredentials {
    let store: SQLiteStore
    let credentials: ProviderCredentials
    let provider: ProviderName

    /// - Parameters:
    ///   - key: the master key's file.
    static func open<Result>(
        _ database: String, key: String, _ body: (StoredCredentials) async throws -> Result
    ) async throws -> Result {
        var bytes = Array(try Data(contentsOf: URL(filePath: key)))
        let masterKey = try MasterKey(file: SecretBytes(moving: &bytes))
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let store = try SQLiteStore(path: database, logger: logger)
        do {
            let result = try await body(
                StoredCredentials(
                    store: store,
                    credentials: ProviderCredentials(store, sealedWith: masterKey, clock: SystemClock()),
                    provider: try #require(ProviderName(parsing: "anthropic"))))
            await store.close()
            return result
        } catch {
            await store.close()
            throw error
        }
    }

    static func open<Result>(
        _ workspace: Workspace, _ body: (StoredCredentials) async throws -> Result
    ) async throws -> Result {
        try await open(workspace.path("data/daypass.db"), key: workspace.path("data/master.key"), body)
    }

    func add(_ secret: [UInt8], to provider: ProviderName? = nil) async throws -> CredentialVersion {
        try await credentials.add(
            SecretBytes(copying: secret.span), to: provider ?? self.provider, by: .daemon, under: TraceID())
    }

    /// The secret of the active version.
    func opened(_ provider: ProviderName? = nil) async throws -> [UInt8] {
        let secret = try await credentials.open(provider ?? self.provider).secret
        return secret.withSpan { span in (0..<span.count).map { span[$0] } }
    }

    func states() async throws -> [Int: CredentialVersion.State] {
        let versions = try await credentials.list(of: provider, after: nil, limit: 1000)
        return Dictionary(uniqueKeysWithValues: versions.map { ($0.number, $0.state) })
    }
}
