import BrokerClient

/// A file of the token cache, and words of a broker: neither may hold more than it says.
enum HeldTokenTarget: FuzzTarget {
    static func run(_ input: [UInt8]) {
        let hidden = TokenText.hidden(in: String(decoding: input, as: UTF8.self))
        precondition(hidden.utf8.count <= 2048, "words without end")
        if let start = hidden.firstRange(of: "eyJ") {
            let run = hidden[start.lowerBound...].prefix {
                $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "." || $0 == "-")
            }
            precondition(run.utf8.count < 12, "a token is shown")
        }
        guard let held = try? HeldToken(parsing: input, "key") else { return }
        precondition(held.received > 0 && held.end > held.received && held.end - held.received <= 86_400_000)
        precondition(held.left(at: held.end) == .zero && held.left(at: held.received - 1) == .zero)
        guard let bytes = try? held.encoded("key"), let again = try? HeldToken(parsing: Array(bytes), "key") else {
            preconditionFailure("an entry of ours is refused")
        }
        precondition(again == held)
        precondition((try? HeldToken(parsing: Array(bytes), "another")) == .some(nil), "it is somebody else's")
    }
}
