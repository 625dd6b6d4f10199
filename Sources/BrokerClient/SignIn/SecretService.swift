/// The desktop's keyring (Secret Service), through `secret-tool`. Nobody waits for it for longer than a second: it may want
/// to be unlocked by somebody who is not there.
struct SecretService: Sendable {
    /// Of each call.
    static let longest: Duration = .seconds(1)

    private let environment: [String: String]

    init(_ environment: [String: String]) {
        self.environment = environment
    }

    /// Without a session bus there is none, and `secret-tool` would start one.
    private var mayBeThere: Bool {
        ["DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR"].contains { environment[$0]?.isEmpty == false }
    }

    /// - Returns: whether it says that it is kept there, in the place of what was kept under the same words.
    func keep(_ token: TokenText, of origin: String, _ id: String) -> Bool {
        guard mayBeThere else { return false }
        let label = ["--label=Daypass sign-in at \(origin)"]
        return run(["store"] + label + Self.words(origin, id), input: token) != nil
    }

    func token(of origin: String, _ id: String) -> TokenText? {
        run(["lookup"] + Self.words(origin, id)).flatMap {
            TokenText(String(decoding: $0, as: UTF8.self).trimmingLineEnd())
        }
    }

    func remove(_ origin: String, _ id: String) {
        _ = run(["clear"] + Self.words(origin, id))
    }

    private static func words(_ origin: String, _ id: String) -> [String] {
        ["service", "daypass", "broker", origin, "sign-in", id]
    }

    /// - Returns: what it prints; nil unless it ends well and in time.
    private func run(_ arguments: [String], input: TokenText? = nil) -> [UInt8]? {
        guard
            let outcome = try? ChildProgram.run(
                "secret-tool", arguments, environment, input: input, within: Self.longest),
            outcome.status == 0
        else { return nil }
        return outcome.output
    }
}
