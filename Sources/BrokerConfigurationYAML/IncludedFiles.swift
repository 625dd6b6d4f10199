internal import JOSE

/// The files that `include` names: what `daypass.yaml` keeps apart.
struct IncludedFiles {
    private(set) var issuers: [YAMLNode] = []
    private(set) var rules: [YAMLNode] = []

    private let main: String
    private let files: any ConfigurationFiles
    private let problems: Problems
    private var read: Set<ExactString> = []

    /// Reads them in the order of their patterns, those of one pattern in the order of their bytes, each once.
    init(_ node: YAMLNode?, main: String, files: any ConfigurationFiles, problems: Problems) {
        self.main = main
        self.files = files
        self.problems = problems
        for pattern in node?.list(problems, of: "paths", allowsNone: true) ?? [] {
            for path in paths(pattern) { include(path, at: pattern.place) }
        }
    }

    private mutating func include(_ path: String, at place: Place) {
        guard read.insert(ExactString(path)).inserted else { return }
        guard read.count < ConfigurationReader.maximumFiles else {
            if read.count == ConfigurationReader.maximumFiles {
                problems.add(place, "expected at most \(ConfigurationReader.maximumFiles) files")
            }
            return
        }
        let bytes: [UInt8]
        do throws(FileFailure) {
            bytes = try files.contents(of: path, limit: ConfigurationReader.maximumFileSize)
        } catch {
            problems.add(place, "\(path.readable(limit: 1024)): \(error)")
            return
        }
        problems.begin(file: path)
        // Nothing but comments is nothing to include.
        guard let root = YAMLTree.root(of: bytes, file: path, problems: problems) else { return }
        var elsewhere = Dictionary(
            uniqueKeysWithValues: ConfigurationReader.keys.map {
                ($0, "\($0.quoted) belongs into the main file: an included one holds issuers and rules")
            })
        elsewhere["include"] = "an included file does not include others"
        let fields = Fields(
            root, "an included file", known: ["issuers", "rules"], elsewhere: elsewhere,
            problems: problems)
        issuers += fields?["issuers"]?.entries(problems, of: "issuers") ?? []
        rules += fields?["rules"]?.entries(problems, of: "rules") ?? []
    }

    private func paths(_ node: YAMLNode) -> [String] {
        let expected = "a path, in whose last part * stands for any run of characters"
        guard let path = node.path(problems, expected: expected) else { return [] }
        let (folder, pattern) = (Paths.folder(of: path), Paths.name(of: path))
        guard !folder.contains("*"), !pattern.isEmpty else {
            return node.refused(problems, "expected \(expected)") ?? []
        }
        guard pattern.contains("*") else {
            if ExactString(path) == ExactString(main) {
                problems.add(node.place, "expected another file: this one is being read already")
                return []
            }
            return [path]
        }
        let names: [String]
        do throws(FileFailure) {
            names = try files.names(in: folder)
        } catch .missing {
            return []
        } catch {
            return node.refused(problems, "\(folder.readable(limit: 1024)): \(error)") ?? []
        }
        return names.filter { Self.matches($0, pattern) }
            .map { folder == "." && !path.hasPrefix("./") ? $0 : Paths.resolve($0, in: path) }
            .filter { ExactString($0) != ExactString(main) }
            .sorted { ExactString($0) < ExactString($1) }
    }

    /// Whether a file of this name is meant; hidden files have to be named in full.
    static func matches(_ name: String, _ pattern: String) -> Bool {
        guard !name.hasPrefix(".") || pattern.hasPrefix(".") else { return false }
        let parts = pattern.utf8.split(separator: UInt8(ascii: "*"), omittingEmptySubsequences: false).map(Array.init)
        var rest = Array(name.utf8)[...]
        guard let first = parts.first, let last = parts.last, rest.starts(with: first) else { return false }
        rest = rest.dropFirst(first.count)
        // The leftmost place for each part in between leaves the most for those after it.
        for part in parts.dropFirst().dropLast() {
            guard let end = rest.end(ofFirst: part) else { return false }
            rest = rest[end...]
        }
        return rest.count >= last.count && rest.suffix(last.count).elementsEqual(last)
    }
}

extension ArraySlice<UInt8> {
    fileprivate func end(ofFirst part: [UInt8]) -> Int? {
        guard count >= part.count else { return nil }
        return (startIndex...(endIndex - part.count)).first { self[$0...].starts(with: part) }.map { $0 + part.count }
    }
}

extension YAMLNode {
    /// The elements of `issuers` or `rules`.
    func entries(_ problems: Problems, of name: String) -> [YAMLNode] {
        list(problems, of: name, limit: RuleSection.maximumCount, allowsNone: true) ?? []
    }
}
