"""Images: what one is, reading and writing, public sets, pictures of many.

``space`` says what an image is, ``files`` reads and writes by ending (``pictures`` through Pillow), ``data`` knows the
public sets, ``draw`` lays out grids and animations.
"""
