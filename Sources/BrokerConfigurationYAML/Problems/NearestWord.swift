extension String {
    /// The word that this was most likely meant to be, or nil if none is near.
    func nearest(among words: [String]) -> String? {
        let typed = Array(lowercased().unicodeScalars)
        guard typed.count <= 64 else { return nil }
        let distances = words.map { ($0, Self.distance(typed, Array($0.unicodeScalars))) }
        guard let (word, distance) = distances.min(by: { $0.1 < $1.1 }) else { return nil }
        return distance <= Swift.max(1, Swift.min(word.unicodeScalars.count, typed.count) / 3) ? word : nil
    }

    /// How many insertions, deletions, replacements and swaps of neighbours lead from one to the other.
    private static func distance(_ left: [Unicode.Scalar], _ right: [Unicode.Scalar]) -> Int {
        var rows = [Array(0...right.count)]
        for (i, a) in left.enumerated() {
            var row = [i + 1]
            for (j, b) in right.enumerated() {
                var best = Swift.min(rows[i][j + 1] + 1, row[j] + 1, rows[i][j] + (a == b ? 0 : 1))
                if i > 0, j > 0, a == right[j - 1], b == left[i - 1] { best = Swift.min(best, rows[i - 1][j - 1] + 1) }
                row.append(best)
            }
            rows.append(row)
        }
        return rows[left.count][right.count]
    }
}
