import Broker
import BrokerSQLite
import Foundation
import JOSE
import Logging
import OpenSSL

/// Rotates and revokes the keys of a store without end, and says each change when it is made: to be killed by a test.
///
/// Arguments: the store's file, and the master key's.
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
        let caller = Caller.socket(uid: getuid(), loginUID: nil, pid: getpid())
        var number = 0
        while true {
            number += 1
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
