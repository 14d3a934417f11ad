"""Text for measurements where the user names none: plain sentences of several kinds."""

PASSAGE = """The ferry leaves the harbour at half past six and reaches the island before eight.
Water boils at a lower temperature in the mountains, because the air presses on it less.
She wrote three letters that evening, sealed two of them, and burned the last.
Please restart the router, wait thirty seconds, and tell me whether the light turns green.
In 1998 the town had 12,400 inhabitants; twenty years later there were fewer than 9,000.
Honestly, this was the worst service I have had in years, and I will not come back.
A heap keeps its smallest element at the root, so taking it out costs log n comparisons.
The court found that the contract had been signed under pressure and was therefore void.
What a wonderful concert! The strings were warm, the choir was clear, and nobody coughed.
To make the dough, mix flour, salt and yeast, add lukewarm water, and knead for ten minutes.
Bees tell each other where flowers are with a dance whose angle points away from the sun.
The patient reports mild pain in the left knee after long walks, without any swelling.
Our quarterly revenue rose by seven per cent, while costs stayed where they had been.
He asked whether the museum was open on Mondays, and the guard shook his head without a word.
The comet will be visible to the naked eye for about a week, low in the western sky.
If you return the book late, the library charges twenty cents for every day.
Engineers tested the bridge with forty loaded lorries before the first car was let across.
I don't know if he meant it as a joke, but nobody in the room laughed.
The recipe serves four; for a larger party, double everything except the chilli.
Nothing in the letter explained why the house had been sold so quickly, or to whom.
"""
