import Broker
package import OpenSSL
import Synchronization

/// A random source that hands out what a test gave it, repeated without end, and fails from a call on if so told.
package final class ScriptedRandom: RandomSource {
    private let script: [UInt8]
    private let failingCall: Int?
    private let state = Mutex((position: 0, calls: 0))

    /// - Parameters:
    ///   - script: 0, 1, 2 … 255 by default.
    ///   - failingCall: the first call that fails, counted from 1; all after it fail too.
    package init(_ script: [UInt8] = Array(0...255), failingFromCall failingCall: Int? = nil) {
        precondition(!script.isEmpty, "something has to be handed out")
        self.script = script
        self.failingCall = failingCall
    }

    package var calls: Int { state.withLock { $0.calls } }

    package func bytes(_ count: Int) throws(OpenSSLError) -> [UInt8] {
        let bytes: [UInt8]? = state.withLock { state in
            state.calls += 1
            if let failingCall, state.calls >= failingCall { return nil }
            defer { state.position += count }
            return (0..<count).map { script[(state.position + $0) % script.count] }
        }
        guard let bytes else { throw Self.failure() }
        return bytes
    }

    /// A real failure of OpenSSL, since nothing else can make such a value.
    private static func failure() -> OpenSSLError {
        guard let key = AESGCMKey(SecretBytes(copying: [UInt8](repeating: 0, count: AESGCMKey.length).span)) else {
            preconditionFailure("32 bytes are a key")
        }
        do throws(OpenSSLError) {
            _ = try key.open([UInt8]().span, associatedData: [])
        } catch {
            return error
        }
        preconditionFailure("nothing opens to something")
    }
}

/// A random source that never has any randomness.
package struct FailingRandom: RandomSource {
    package init() {}

    package func bytes(_ count: Int) throws(OpenSSLError) -> [UInt8] {
        try ScriptedRandom(failingFromCall: 1).bytes(count)
    }
}
