-- An index of texts: which keys of an organization have these three characters in their name or hint. The words of a key are
-- its organization, after an "x", and each three characters that follow one another, in lower case and hexadecimal. No text
-- goes on from the name to the hint. The last ones are shorter, so that every character begins a word. No name and no hint has
-- more than 200 characters; of a longer one, which was written by hand, the first 200 are found.
CREATE VIEW tower_api_key_words AS
SELECT k.number, 'x' || hex(k.organization) || (
    WITH RECURSIVE words (word, rest) AS (
        SELECT '', lower(substr(k.name, 1, 200) || char(31) || substr(k.hint, 1, 200) || char(31))
        UNION ALL SELECT ' ' || hex(substr(rest, 1, 3)), substr(rest, 2) FROM words WHERE rest <> ''
    )
    SELECT group_concat(word, '') FROM words
) AS words
FROM tower_api_key_keys k WHERE k.organization IS NOT NULL;

CREATE VIRTUAL TABLE tower_api_key_search
USING fts5(words, content = '', columnsize = 0, detail = none, tokenize = 'ascii');

INSERT INTO tower_api_key_search (rowid, words) SELECT number, words FROM tower_api_key_words;

CREATE TRIGGER tower_api_key_search_added AFTER INSERT ON tower_api_key_keys
BEGIN
    INSERT INTO tower_api_key_search (rowid, words)
    SELECT number, words FROM tower_api_key_words WHERE number = new.number;
END;

-- The index does not keep the words: they are removed by the same words.
CREATE TRIGGER tower_api_key_search_deleted BEFORE DELETE ON tower_api_key_keys
BEGIN
    INSERT INTO tower_api_key_search (tower_api_key_search, rowid, words)
    SELECT 'delete', number, words FROM tower_api_key_words WHERE number = old.number;
END;

CREATE TRIGGER tower_api_key_search_changes BEFORE UPDATE ON tower_api_key_keys
WHEN (new.organization, new.name, new.hint, new.number) IS NOT (old.organization, old.name, old.hint, old.number)
BEGIN
    INSERT INTO tower_api_key_search (tower_api_key_search, rowid, words)
    SELECT 'delete', number, words FROM tower_api_key_words WHERE number = old.number;
END;

CREATE TRIGGER tower_api_key_search_changed AFTER UPDATE ON tower_api_key_keys
WHEN (new.organization, new.name, new.hint, new.number) IS NOT (old.organization, old.name, old.hint, old.number)
BEGIN
    INSERT INTO tower_api_key_search (rowid, words)
    SELECT number, words FROM tower_api_key_words WHERE number = new.number;
END;
