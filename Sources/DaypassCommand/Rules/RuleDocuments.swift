import ArgumentParser
import BrokerClient

/// Rules that are not in force.
struct RuleDocuments: ParsableArguments {
    /// Of all together, in bytes: they are sent as JSON, whose bound the broker has.
    static let maximumLength = 1000 * 1024

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp("The files with the other rules, all of them; - is standard input.", valueName: "file"),
        completion: .file())
    var rules: [String] = []

    /// What the broker takes; nil without any.
    func json() throws -> JSON? {
        guard !rules.isEmpty else { return nil }
        var (documents, length): ([JSON], Int) = ([], 0)
        for file in rules {
            let text = try TextFile.read(file, atMost: Self.maximumLength - length, behind: length)
            length += text.utf8.count
            documents.append(.object(["name": .string(file), "text": .string(text)]))
        }
        return .array(documents)
    }
}

extension AdministrationClient {
    private static let pause: Duration = .milliseconds(500)
    private static let pauses = 120

    /// Posts it, and again while somebody else's is under way: rules are read, and exchanges replayed, one at a time.
    func waitingForTurn(_ path: String, _ body: JSON) async throws -> JSON {
        for _ in 0..<Self.pauses {
            let failure: ClientFailure
            do throws(ClientFailure) {
                return try await post(path, body)
            } catch {
                failure = error
            }
            guard case .refused(409, _, _) = failure else { throw failure }
            try await Task.sleep(for: Self.pause)
        }
        return try await post(path, body)
    }
}
