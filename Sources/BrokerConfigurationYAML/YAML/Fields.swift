internal import JOSE

/// The values of a mapping whose keys are known.
struct Fields {
    let place: Place
    let problems: Problems
    private let values: [ExactString: YAMLNode]
    private let name: String

    /// - Parameters:
    ///   - name: what the mapping is, for messages.
    ///   - later: keys of the documented format that this version does not have yet.
    ///   - elsewhere: keys that belong somewhere else, and the words for it.
    /// - Returns: nil for anything but a mapping. Unknown keys are reported and left out.
    init?(
        _ node: YAMLNode, _ name: String, known: [String], later: [String] = [],
        elsewhere: [String: String] = [:], problems: Problems
    ) {
        guard case .mapping(let entries) = node.content else {
            let _: Never? = node.refused(
                problems, "expected \(name), a mapping with the keys \(known.joined(separator: ", "))")
            return nil
        }
        var values: [ExactString: YAMLNode] = [:]
        for entry in entries {
            // By bytes: a key that only looks the same is another key.
            let isKey = { (key: String) in ExactString(key) == ExactString(entry.key) }
            if known.contains(where: isKey) {
                values[ExactString(entry.key)] = entry.value
            } else if later.contains(where: isKey) {
                problems.add(entry.place, "\(entry.key.quoted) is not supported by this version")
            } else if let reason = elsewhere.first(where: { isKey($0.key) })?.value {
                problems.add(entry.place, reason)
            } else if let nearest = entry.key.nearest(among: known) {
                problems.add(entry.place, "unknown key \(entry.key.quoted); did you mean \(nearest.quoted)?")
            } else {
                problems.add(
                    entry.place,
                    "unknown key \(entry.key.quoted); expected one of \(known.joined(separator: ", "))")
            }
        }
        place = node.place
        self.problems = problems
        self.values = values
        self.name = name
    }

    subscript(key: String) -> YAMLNode? { values[ExactString(key)] }

    /// The value, or nil with its absence reported.
    func required(_ key: String) -> YAMLNode? {
        if let value = self[key] { return value }
        problems.add(place, "expected the key \(key.quoted) in \(name)")
        return nil
    }
}
