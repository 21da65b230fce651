-- An index of texts: which keys of an organization have these three characters in their name or hint. The words of a key are
-- its organization, after a character that no text has, and each three characters that follow one another, in lower case. No
-- text goes on from the name to the hint. The last ones are shorter, so that every character begins a word. In the collation
-- "C", only ASCII letters have a lower case. The cost keeps the planner from calling this for each row of a table.
CREATE FUNCTION tower_api_key_words(organization text, name text, hint text) RETURNS tsvector
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 10000 AS $$
DECLARE
    content text := lower((name || chr(31) || hint || chr(31)) COLLATE "C");
    words text[] := ARRAY[chr(31) || organization];
BEGIN
    FOR place IN 1..length(content) LOOP
        words[place + 1] := substr(content, place, 3);
    END LOOP;
    RETURN array_to_tsvector(words);
END
$$;

-- New entries wait in a list until there is a megabyte of them, which a search reads in a millisecond.
CREATE INDEX tower_api_key_keys_search ON tower_api_key_keys USING gin (tower_api_key_words(organization, name, hint))
    WITH (gin_pending_list_limit = 1024) WHERE organization IS NOT NULL;
