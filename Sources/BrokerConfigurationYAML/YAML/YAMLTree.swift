internal import JOSE

/// The one document of a YAML file as a bounded tree: no anchors, aliases, tags, directives or merge keys, no key twice.
struct YAMLTree {
    /// How deep lists and mappings may stand in one another: twice what the configuration needs.
    static let maximumDepth = 16
    /// Of one file.
    static let maximumNodes = 100_000

    private let events: YAMLEvents
    private let problems: Problems
    private var nodesLeft = maximumNodes

    /// The root of the document; nil when the file has none, or one that cannot be read, which is then reported.
    static func root(of bytes: [UInt8], file: String, problems: Problems) -> YAMLNode? {
        guard let bytes = SourceText.checked(bytes, file: file, problems: problems) else { return nil }
        var tree = YAMLTree(events: YAMLEvents(bytes, file: file), problems: problems)
        do throws(YAMLEvents.SyntaxError) {
            return try tree.root()
        } catch {
            problems.add(error.place, error.text)
            return nil
        }
    }

    private init(events: YAMLEvents, problems: Problems) {
        self.events = events
        self.problems = problems
    }

    private mutating func root() throws(YAMLEvents.SyntaxError) -> YAMLNode? {
        var root: YAMLNode?
        while true {
            let event = try events.next()
            switch event.kind {
            case .streamEnd: return root
            case .documentStart(let hasDirectives):
                guard root == nil else { throw .init(place: event.place, text: "expected only one document in a file") }
                if hasDirectives { problems.add(event.place, "directives (%) are not accepted") }
                root = try node(events.next(), depth: 1)
            default: continue
            }
        }
    }

    private mutating func node(_ event: YAMLEvents.Event, depth: Int) throws(YAMLEvents.SyntaxError) -> YAMLNode {
        guard depth <= Self.maximumDepth else {
            throw .init(place: event.place, text: "expected at most \(Self.maximumDepth) levels of nesting")
        }
        nodesLeft -= 1
        guard nodesLeft > 0 else {
            throw .init(place: event.place, text: "expected at most \(Self.maximumNodes) values in a file")
        }
        if event.hasAnchor {
            problems.add(event.place, "anchors (&) are not accepted: write the value where it is used")
        }
        if event.hasTag { problems.add(event.place, "tags (!) are not accepted") }
        let content: YAMLNode.Content =
            switch event.kind {
            case .scalar(let text, let isPlain): .scalar(text, isPlain: isPlain)
            case .listStart: .list(try list(depth: depth))
            case .mappingStart: .mapping(try mapping(depth: depth))
            case .alias: .refused
            default: .refused
            }
        if case .alias = event.kind {
            problems.add(event.place, "aliases (*) are not accepted: write the value, or quote text that begins with *")
        }
        return YAMLNode(place: event.place, content: event.hasTag ? .refused : content)
    }

    private mutating func list(depth: Int) throws(YAMLEvents.SyntaxError) -> [YAMLNode] {
        var elements: [YAMLNode] = []
        while true {
            let event = try events.next()
            if case .listEnd = event.kind { return elements }
            elements.append(try node(event, depth: depth + 1))
        }
    }

    private mutating func mapping(depth: Int) throws(YAMLEvents.SyntaxError) -> [YAMLNode.Entry] {
        var entries: [YAMLNode.Entry] = []
        var places: [ExactString: Place] = [:]
        while true {
            let event = try events.next()
            if case .mappingEnd = event.kind { return entries }
            let key = try node(event, depth: depth + 1)
            let value = try node(events.next(), depth: depth + 1)
            guard case .scalar(let text, let isPlain) = key.content else {
                if case .refused = key.content { continue }
                problems.add(key.place, "expected text as a key")
                continue
            }
            if isPlain, text == "<<" {
                problems.add(key.place, "merge keys (<<) are not accepted")
            } else if let first = places.updateValue(key.place, forKey: ExactString(text)) {
                problems.add(key.place, "the key \(text.quoted) stands here twice, first on line \(first.line)")
            } else {
                entries.append(.init(key: text, place: key.place, value: value))
            }
        }
    }
}
