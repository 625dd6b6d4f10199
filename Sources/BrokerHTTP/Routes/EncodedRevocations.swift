import Broker
import JOSE
import NIOCore
import Synchronization

/// What is revoked, as text that is made once for all who get it.
///
/// Whoever comes while another one's text is being made waits for that instead of making it again. Callable from any thread.
final class EncodedRevocations: Sendable {
    /// A whole set serves those who come until so many more are revoked: they get these behind it.
    static let maximumLag: UInt64 = 1000
    /// So many revocations are in one part of a stream at most.
    static let maximumPart: UInt64 = 1024
    /// So many parts are kept.
    static let maximumParts = 8

    private let state = Mutex(State())

    private struct State {
        var whole: Whole?
        /// That which was used last is the last.
        var parts: [Part] = []
        var count = 0
    }

    private struct Whole {
        let edition: String
        let highest: UInt64
        let tag: String
        let json: ByteBuffer
    }

    private struct Part {
        let edition: String
        let first: UInt64
        let last: UInt64
        let text: ByteBuffer
    }

    /// How often anything was encoded.
    var encodingCount: Int { state.withLock { $0.count } }

    /// The whole set as it is in the snapshot.
    func document(of snapshot: RevocationSnapshot) -> ByteBuffer {
        state.withLock { state in
            if let whole = state.whole, whole.tag == snapshot.tag { return whole.json }
            return encode(snapshot, &state).json
        }
    }

    /// The whole set as an event, and its number: that of the snapshot or a somewhat lower one.
    func set(of snapshot: RevocationSnapshot) -> (highest: UInt64, event: [ByteBuffer]) {
        let whole = state.withLock { state in
            if let whole = state.whole, whole.edition == snapshot.edition, whole.highest <= snapshot.highest,
                snapshot.highest - whole.highest <= Self.maximumLag
            {
                return whole
            }
            return encode(snapshot, &state)
        }
        let head = ByteBuffer(string: "event: set\nid: \(snapshot.edition)-\(whole.highest)\ndata: ")
        return (whole.highest, [head, whole.json, ByteBuffer(string: "\n\n")])
    }

    /// Those above a number, an event each, as far as they go into one part, and the number up to which that is.
    /// - Parameter sequence: lower than the highest of the snapshot.
    func events(after sequence: UInt64, of snapshot: RevocationSnapshot) -> (text: ByteBuffer, last: UInt64) {
        let revocations = snapshot.after(sequence)
        guard let first = revocations.first?.sequence else { return (ByteBuffer(), snapshot.highest) }
        // They end at the same numbers wherever they begin: whoever fell behind soon has the same ones as others.
        let last = min(snapshot.highest, ((first - 1) / Self.maximumPart + 1) * Self.maximumPart)
        return state.withLock { state in
            if let index = state.parts.firstIndex(where: {
                $0.edition == snapshot.edition && $0.first == first && $0.last == last
            }) {
                let part = state.parts.remove(at: index)
                state.parts.append(part)
                return (part.text, last)
            }
            state.count += 1
            var text = ByteBuffer()
            for revocation in revocations.prefix(while: { $0.sequence <= last }) {
                // No encoding has a line break in it.
                text.writeString("event: revocation\nid: \(snapshot.edition)-\(revocation.sequence)\ndata: ")
                text.writeBytes(revocation.publicJSON.encoded())
                text.writeString("\n\n")
            }
            if state.parts.count == Self.maximumParts { state.parts.removeFirst() }
            state.parts.append(Part(edition: snapshot.edition, first: first, last: last, text: text))
            return (text, last)
        }
    }

    private func encode(_ snapshot: RevocationSnapshot, _ state: inout State) -> Whole {
        let json: JSONObject = [
            "highest": .number(Double(snapshot.highest)),
            "revocations": .array(snapshot.revocations.map { .object($0.publicJSON) }),
        ]
        state.count += 1
        let whole = Whole(
            edition: snapshot.edition, highest: snapshot.highest, tag: snapshot.tag,
            json: ByteBuffer(bytes: json.encoded()))
        state.whole = whole
        return whole
    }
}
