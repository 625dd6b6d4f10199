import Broker
import BrokerSQLite
import BrokerTesting
import Foundation
import JOSE
import Logging
import OpenSSL

/// Signs with the active key of a broker's store: so many good tokens take no exchanges.
struct BrokersOwnMint {
    private let signer: TestIssuer
    private let issuer: ExactString
    private let audience: ExactString
    private let start = Int(Date().timeIntervalSince1970)

    /// The store is closed again when this returns.
    init(store path: String, masterKey file: String, issuer: String, audience: String) async throws {
        var bytes = Array(try Data(contentsOf: URL(filePath: file)))
        let masterKey = try MasterKey(file: SecretBytes(moving: &bytes))
        let store = try SQLiteStore(path: path, .existing, logger: Logger(label: "benchmark"))
        let records = try await store.signingKeys()
        await store.close()
        guard let active = records.first(where: { $0.state == .active }) else { fatalError("no key is active") }
        let place = SealedPlace(purpose: "signing-key", table: "signing_keys", id: active.keyID.string, version: 1)
        let der = try masterKey.open(active.sealed, from: place)
        let key = try der.withSpan { span in try PrivateKey(pkcs8: span) }
        signer = TestIssuer(issuer, algorithm: active.algorithm, keyID: active.keyID, key: key)
        (self.issuer, self.audience) = (ExactString(issuer), ExactString(audience))
    }

    /// Good for an hour.
    func token(_ number: Int) throws -> String {
        let claims = Bench.claims(number, issuer: issuer, audience: audience, from: start, seconds: 3600)
        return try signer.token(claims, header: ["typ": "at+jwt"])
    }
}
