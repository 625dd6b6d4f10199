import Broker
import BrokerSQLite
import Foundation
import JOSE
import Logging
import OpenSSL

/// Rotates and revokes the keys of a store without end, and says each change when it is made: to be killed by a test. Every
/// record goes to a file as well, checkpoints are made, and what is older than a second is archived.
///
/// Arguments: the store's file, the master key's, the audit file, and the folder of archives.
@main
enum RotationLoop {
    static func main() async throws {
        let arguments = CommandLine.arguments
        var bytes = Array(try Data(contentsOf: URL(filePath: arguments[2])))
        let masterKey = try MasterKey(file: SecretBytes(moving: &bytes))
        let logger = Logger(label: "loop") { _ in SwiftLogNoOpLogHandler() }
        let store = try SQLiteStore(path: arguments[1], logger: logger)
        let records = try await store.signingKeys()
        let holder = StateHolder(BrokerState(keyRing: try KeyRing(opening: records, with: masterKey)))
        let rotation = try KeyRotation(
            store, holding: records, sealedWith: masterKey, SigningConfiguration(), publishingIn: holder,
            clock: SystemClock(), logger: logger)
        store.sign(with: try await CheckpointKeys.open(in: store, with: masterKey, at: Date()))
        try await store.writeAuditFile(arguments[3])
        let caller = Caller.socket(uid: getuid(), loginUID: nil, pid: getpid())
        var number = 0
        while true {
            number += 1
            if number.isMultiple(of: 3) { try await store.makeCheckpoint() }
            if number.isMultiple(of: 5) {
                let now = Date().addingTimeInterval(1)
                let order = ArchiveOrder(to: arguments[4], retention: .zero, at: now, trace: TraceID(at: now))
                _ = try await store.archive(order)
                _ = try await store.deleteArchived(limit: 3)
            }
            let published = await rotation.descriptions.filter(\.state.isPublished)
            if number.isMultiple(of: 4) || published.count > 20 {
                let key = published[0].keyID
                let isDurable = try await rotation.revoke(key, by: caller).isDurable
                say(isDurable ? "revoked \(key)" : "failed")
            } else {
                let rotated = try await rotation.rotate(force: true, by: caller)
                say("active \(rotated.active)")
            }
        }
    }

    private static func say(_ line: String) {
        FileHandle.standardOutput.write(Data("\(line)\n".utf8))
    }
}
