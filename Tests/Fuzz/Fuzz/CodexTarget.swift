/// Codex's configuration: what is set in it is there afterwards, and every other line is as it was.
enum CodexTarget: FuzzTarget {
    private static let places = [([], "model_provider"), (["model_providers", "daypass"], "base_url")]

    static func run(_ input: [UInt8]) {
        guard let text = String(validating: input, as: UTF8.self), var document = TOMLDocument(text) else { return }
        for (table, key) in places {
            let before = document.lines
            guard document.set(table, key, "\"new\"") else {
                precondition(document.lines == before, "it was changed and refused")
                continue
            }
            precondition(document.value(table, key) == "\"new\"", "it is not there")
            guard let again = TOMLDocument(document.text) else { preconditionFailure("its own text is refused") }
            precondition(again.value(table, key) == "\"new\"", "it is not there for who reads it")
            let added = document.lines.difference(from: before)
            precondition(added.removals.count <= 1 && added.insertions.count <= 3, "another line is not what it was")
        }
    }
}
